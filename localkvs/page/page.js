// The page of localkvs: it asks for /localkvs/state once a second and draws what has changed.

const every = 1000; // milliseconds
const where = document.getElementById('where');
const channels = document.getElementById('channels');
const messages = document.getElementById('messages');
const drawn = new Map(); // what each part was drawn from

// el makes an element. Text never becomes markup: remote clients wrote much of it.
function el(tag, className, ...children) {
  const e = document.createElement(tag);
  if (className) e.className = className;
  e.append(...children);
  return e;
}

// draw replaces a part's children when its data is new, so that what the reader has opened or selected stays.
function draw(part, data, make) {
  const text = JSON.stringify(data);
  if (drawn.get(part) === text) return;
  drawn.set(part, text);
  part.replaceChildren(...make(data));
}

function drawChannels(list) {
  if (list.length === 0) return [el('p', 'dim', 'No channels yet. Create one with any client.')];
  return list.map((c) => {
    const waiting = c.waiting.map((w) => `${w.messages} for ${w.client || 'the master'}`).join(', ');
    return el(
      'article',
      'channel',
      el('h3', '', c.name),
      el('p', 'dim', `${c.arn} · messages live ${c.ttl} s${waiting ? ' · waiting: ' + waiting : ''}`),
      ...c.sockets.map((s) => drawSocket(c, s)),
    );
  });
}

function drawSocket(channel, s) {
  const who = s.role === 'MASTER' ? 'master' : `viewer ${s.client}`;
  const row = el(
    'div',
    'socket',
    el(
      'span',
      '',
      `${who} from ${s.remote} since ${new Date(s.since).toLocaleTimeString()}${s.deaf ? ' (displaced)' : ''}`,
    ),
  );
  for (const [label, action] of [
    ['GO_AWAY', 'go_away'],
    ['Close', 'close'],
    ['Reset', 'reset'],
  ]) {
    const b = el('button', '', label);
    b.type = 'button';
    b.setAttribute('aria-label', `${label} ${who} of ${channel.name}`);
    b.addEventListener('click', () => act({ do: action, channel: channel.arn, client: s.client || 'MASTER' }));
    row.append(b);
  }
  return row;
}

async function act(action) {
  const answer = await fetch('faults', { method: 'POST', body: JSON.stringify({ do: [action] }) });
  if (!answer.ok) where.textContent = await answer.text();
  update();
}

// A message keeps its element for as long as it is listed, so that what the reader has opened stays open.
let shown = new Map();

function drawMessages(list) {
  if (list.length === 0) return [el('p', 'dim', 'No messages yet.')];
  const before = shown;
  shown = new Map(list.map((m) => [JSON.stringify(m), m]));
  for (const [key, m] of shown) shown.set(key, before.get(key) ?? drawMessage(m));
  return [...shown.values()];
}

function drawMessage(m) {
  const who = `from ${m.from}${m.to ? ' to ' + m.to : ''}`;
  const line = `${new Date(m.time).toLocaleTimeString()} ${m.channel}: ${m.type || '?'} ${who}`;
  const summary = el('summary', '', line);
  if (m.refused) summary.append(' ', el('span', 'wrong', m.refused));
  return el('details', '', summary, el('pre', '', decode(m.payload || '')));
}

// decode shows a payload as a person would write it: base64 undone, JSON laid out, SDP with its lines.
function decode(payload) {
  let text;
  try {
    const bytes = Uint8Array.from(atob(payload.replace(/-/g, '+').replace(/_/g, '/')), (c) => c.charCodeAt(0));
    text = new TextDecoder().decode(bytes);
  } catch {
    return payload;
  }
  try {
    const v = JSON.parse(text);
    return typeof v.sdp === 'string' ? `${v.type}\n${v.sdp}` : JSON.stringify(v, null, 2);
  } catch {
    return text;
  }
}

async function update() {
  try {
    const answer = await fetch('state');
    if (!answer.ok) throw new Error(await answer.text());
    const state = await answer.json();
    const faults = Object.keys(state.faults).length ? ' · faults: ' + JSON.stringify(state.faults) : '';
    where.textContent = [state.url, state.tls_url, state.stun].filter(Boolean).join(' · ') + faults;
    where.className = faults ? 'wrong' : 'dim';
    draw(channels, state.channels, drawChannels);
    draw(messages, state.messages, drawMessages);
  } catch (err) {
    where.textContent = `No answer from the service: ${err.message}`;
    where.className = 'wrong';
  }
}

async function loop() {
  if (!document.hidden) await update();
  setTimeout(loop, every);
}

loop();
