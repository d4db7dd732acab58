// The page: asks for the report each second and writes it into the document in place. Everything from the report enters
// as textContent.

import { Player } from './watch.js';
import * as fmt from './format.js';

const cards = new Map(); // by channel name
let autoStarted = false;
let misses = 0;

// For tests: the players by channel, and a way to start and stop them.
window.kvsagent = {
  channels: {}, // name -> Player: stage, error, firstFrameMs, attempts, stats
  report: null, // the last one
  start: (name) => cards.get(name)?.player.start(),
  stop: (name) => cards.get(name)?.player.stop(),
};

const byId = (id) => document.getElementById(id);

// text writes only what has changed, so that nothing flickers and selections stay.
function text(element, value) {
  value = String(value ?? '');
  if (element.textContent !== value) element.textContent = value;
}

function tone(element, value) {
  if (element.dataset.tone !== value) element.dataset.tone = value;
}

// keyed keeps one child of parent for each item, in order: it makes the new ones, removes the gone ones and updates
// all.
function keyed(parent, items, key, make, update) {
  const old = new Map([...parent.children].map((e) => [e.dataset.key, e]));
  let at = parent.firstElementChild;
  for (const item of items) {
    const k = key(item);
    let e = old.get(k);
    old.delete(k);
    if (!e) {
      e = make(item);
      e.dataset.key = k;
    }
    if (e === at) at = at.nextElementSibling;
    else parent.insertBefore(e, at);
    update(e, item);
  }
  for (const e of old.values()) e.remove();
}

// row makes a table row with one cell for each [label, class]; a cell has a main text and a second line.
function row(columns) {
  const tr = document.createElement('tr');
  tr.setAttribute('role', 'row');
  for (const [label, kind] of columns) {
    const td = document.createElement('td');
    td.setAttribute('role', 'cell');
    td.dataset.label = label;
    if (kind) td.className = kind;
    const main = document.createElement('span');
    const more = document.createElement('span');
    more.className = 'more';
    td.append(main, more);
    tr.append(td);
  }
  return tr;
}

function cell(tr, i, main, more = '') {
  const td = tr.children[i];
  text(td.firstChild, main);
  text(td.lastChild, more);
  return td;
}

function stateCell(tr, i, state, more) {
  const td = cell(tr, i, state, more);
  td.firstChild.className = 'state';
  tone(td.firstChild, fmt.tones[state] ?? 'idle');
  return td;
}

// ---- the header

function showHeader(report) {
  const down = report.channels.filter((c) => c.state !== 'connected').length;
  const all = report.channels.length;
  text(byId('version'), report.version);
  text(byId('uptime'), 'up ' + fmt.seconds(fmt.ago(report.now, report.started)));
  text(
    byId('overall'),
    !all
      ? 'no channels'
      : !down
        ? all > 1
          ? `all ${all} channels connected`
          : 'connected'
        : `${down} of ${all} not connected`,
  );
  tone(byId('overall'), !all ? 'idle' : !down ? 'good' : down < all ? 'busy' : 'bad');
}

// ---- channels

class Card {
  constructor(channel) {
    this.element = byId('channel-template').content.firstElementChild.cloneNode(true);
    const $ = (this.$ = (selector) => this.element.querySelector(selector));
    this.video = $('video');
    this.video.id = 'video-' + channel.name;
    this.video.setAttribute('aria-label', 'Live picture of ' + channel.name);
    this.player = new Player(channel.name, this.video, () => this.showPicture());
    $('.start').setAttribute('aria-label', 'Watch ' + channel.name);
    $('.start').addEventListener('click', () => this.player.start());
    $('.stop').addEventListener('click', () => this.player.stop());
    $('.full').addEventListener('click', () => fullSize(this.video));
    $('.sound').addEventListener('click', () => {
      this.video.muted = !this.video.muted;
      this.video.play().catch(() => {});
      this.showSound();
    });
    this.video.addEventListener('volumechange', () => this.showSound());
    this.showSound();
    this.showPicture();
  }

  showSound() {
    text(this.$('.sound'), this.video.muted ? 'Sound on' : 'Sound off');
    this.$('.sound').setAttribute('aria-pressed', String(!this.video.muted));
  }

  update(channel, now) {
    this.channel = channel;
    const $ = this.$;
    text($('.name'), channel.name);
    text($('.role'), channel.role);
    text(
      $('.kvs-name'),
      [channel.channel_name !== channel.name && channel.channel_name, channel.source && 'source ' + channel.source]
        .filter(Boolean)
        .join(' · '),
    );
    const t = fmt.tones[channel.state] ?? 'idle';
    tone($('.state'), t);
    text($('.state-text'), stateWords(channel, now));
    tone($('.reason'), t);
    text($('.reason'), channel.error);
    $('.reason').hidden = !channel.error;
    this.showPeers(channel, now);
    this.showPicture();
  }

  showPicture() {
    const p = this.player,
      picture = this.$('.picture');
    this.element.dataset.watched = String(p.stage !== 'idle' && p.stage !== 'failed');
    picture.dataset.stage = p.stage;
    picture.dataset.over = String(p.hasPicture);
    text(this.$('.stage-text'), stageWords(p, this.channel));
    text(
      this.$('.stage-error'),
      p.stage === 'playing' || p.stage === 'idle'
        ? ''
        : [p.stage === 'failed' ? '' : p.error, p.hint].filter(Boolean).map(sentence).join('. '),
    );
    this.showStats();
  }

  showStats() {
    const p = this.player,
      s = p.stats;
    const facts =
      p.stage !== 'playing' || !s
        ? []
        : [
            ['size', fmt.size(s.width, s.height)],
            ['rate', fmt.fps(s.fps)],
            ['bitrate', fmt.bitrate(s.bitrate)],
            ['codec', [s.codec, s.audio].filter(Boolean).join(' + ')],
            ['first frame', fmt.millis(p.firstFrameMs)],
            ['RTT', fmt.millis(s.rtt * 1000)],
            ['lost', s.lost ? fmt.count(s.lost) + ' packets' : ''],
          ].filter(([, v]) => v && v !== '–');
    keyed(
      this.$('.stats'),
      facts,
      (f) => f[0],
      () => {
        const div = document.createElement('div');
        div.append(document.createElement('dt'), document.createElement('dd'));
        return div;
      },
      (div, [k, v]) => {
        text(div.firstChild, k);
        text(div.lastChild, v);
      },
    );
  }

  showPeers(channel, now) {
    const who = channel.role === 'viewer' ? ['master', 'master'] : ['viewer', 'viewers'];
    const n = channel.peers.length;
    const table = this.$('.peers table');
    text(
      this.$('.peers h4'),
      channel.role === 'viewer'
        ? 'Master'
        : 'Viewers' + (n ? ` (${n}${channel.max_viewers ? ' of ' + channel.max_viewers : ''})` : ''),
    );
    table.setAttribute('aria-label', `${who[1]} of ${channel.name}`);
    table.hidden = !n;
    const empty = this.$('.peers .empty');
    empty.hidden = n > 0;
    text(empty, channel.role === 'viewer' ? 'No session with the master.' : 'Nobody is watching.');
    keyed(
      table.tBodies[0],
      channel.peers,
      (p) => p.session + ' ' + p.client_id,
      () =>
        row([
          ['Client', 'key'],
          ['State'],
          ['Path'],
          ['Media', 'wide'],
          ['Bitrate', 'num'],
          ['RTT', 'num'],
          ['Dropped', 'num'],
          ['First frame', 'num'],
        ]),
      (tr, p) => showPeer(tr, p, now),
    );
    this.showEnded(channel, now);
  }

  showEnded(channel, now) {
    const ended = channel.ended ?? [];
    const details = this.$('.ended');
    details.hidden = !ended.length;
    text(details.querySelector('summary'), 'Last sessions');
    keyed(
      details.querySelector('ul'),
      ended,
      (e) => e.session + ' ' + e.at,
      () => document.createElement('li'),
      (li, e) =>
        text(
          li,
          `${e.client_id || 'master'}: ${e.reason}, after ${fmt.seconds(e.seconds)}, ` +
            `${fmt.seconds(fmt.ago(now, e.at))} ago`,
        ),
    );
  }
}

function showPeer(tr, peer, now) {
  const tracks = [...(peer.sending ?? []), ...(peer.receiving ?? [])];
  const video = tracks.filter((t) => !fmt.isAudio(t));
  const sum = (list, f) => list.reduce((n, t) => n + (t[f] || 0), 0);
  cell(tr, 0, peer.client_id || 'master', 'session ' + peer.session);
  stateCell(tr, 1, peer.state, 'for ' + fmt.seconds(fmt.ago(now, peer.since)));
  cell(tr, 2, fmt.path(peer), peer.local && peer.remote ? `${peer.local} to ${peer.remote}` : '');
  cell(
    tr,
    3,
    fmt.media(video),
    [
      peer.level && peer.level + ' stream',
      ...tracks.filter(fmt.isAudio).map((t) => t.codec + (t.paused ? ' paused' : '')),
    ]
      .filter(Boolean)
      .join(', '),
  );
  cell(tr, 4, fmt.bitrate(sum(tracks, 'bitrate')), peer.estimate_bps ? `path ${fmt.bitrate(peer.estimate_bps)}` : '');
  cell(tr, 5, fmt.millis((peer.rtt || 0) * 1000), peer.behind_ms >= 1 ? fmt.millis(peer.behind_ms) + ' behind' : '');
  cell(tr, 6, fmt.count(sum(tracks, 'dropped')), sum(tracks, 'lost') ? fmt.count(sum(tracks, 'lost')) + ' lost' : '');
  cell(tr, 7, fmt.millis(peer.first_frame.frame_ms));
}

function stateWords(channel, now) {
  const since = channel.since ? ' for ' + fmt.seconds(fmt.ago(now, channel.since)) : '';
  switch (channel.state) {
    case 'connected':
      return 'connected' + since;
    case 'connecting':
      return 'connecting' + since;
    case 'waiting':
      return channel.retry_in
        ? 'not connected, next attempt in ' + fmt.seconds(Math.ceil(channel.retry_in))
        : 'not connected';
    case 'displaced':
      return 'another master gets the messages' + (channel.retry_in
        ? ', taken back in ' + fmt.seconds(Math.ceil(channel.retry_in))
        : '');
  }
  return channel.state;
}

function stageWords(player, channel) {
  switch (player.stage) {
    case 'offering':
      return 'Preparing the offer';
    case 'answering':
      return 'Waiting for the master to answer';
    case 'connecting':
      return 'Waiting for the connection';
    case 'picture':
      return 'Waiting for the first picture';
    case 'stalled':
      return 'Connected, but no new pictures come. Waiting for the source';
    case 'interrupted':
      return 'Connection interrupted, waiting for it to come back';
    case 'retrying':
      return `Trying again in ${fmt.seconds(Math.ceil((player.retryAt - performance.now()) / 1000))}`;
    case 'failed':
      return sentence(player.error);
    case 'idle':
      return channel && channel.state !== 'connected' && channel.role === 'master'
        ? 'Waiting for the channel to connect'
        : '';
  }
  return '';
}

const sentence = (s) => s.charAt(0).toUpperCase() + s.slice(1);

function fullSize(video) {
  if (document.fullscreenElement) return document.exitFullscreen();
  if (video.requestFullscreen) return video.requestFullscreen();
  return video.webkitEnterFullscreen?.(); // iPhone
}

function showChannels(report) {
  byId('no-channels').hidden = report.channels.length > 0;
  for (const name of cards.keys()) {
    if (report.channels.some((c) => c.name === name)) continue;
    cards.get(name).player.stop();
    cards.delete(name);
    delete window.kvsagent.channels[name];
  }
  keyed(
    byId('channels'),
    report.channels,
    (c) => c.name,
    (c) => {
      const card = new Card(c);
      cards.set(c.name, card);
      window.kvsagent.channels[c.name] = card.player;
      return card.element;
    },
    (_, c) => {
      const card = cards.get(c.name);
      card.player.source = report.sources.find((s) => s.name === c.source) ?? null;
      card.update(c, report.now);
    },
  );
}

// autoStart plays the first master channel that has a source, once, as soon as it is connected.
function autoStart(report) {
  if (autoStarted) return;
  const first = report.channels.find((c) => c.role === 'master' && c.source);
  if (first?.state !== 'connected') return;
  autoStarted = true;
  cards.get(first.name).player.start();
}

// ---- sources

function showSources(report) {
  byId('no-sources').hidden = report.sources.length > 0;
  byId('sources').parentElement.hidden = !report.sources.length;
  keyed(
    byId('sources'),
    report.sources,
    (s) => s.name,
    () =>
      row([
        ['Source', 'key'],
        ['State'],
        ['Video', 'wide'],
        ['Audio'],
        ['Bitrate', 'num'],
        ['Watchers', 'num'],
        ['Restarts', 'num'],
      ]),
    (tr, s) => {
      cell(tr, 0, s.name, s.url);
      const words = [s.privacy && 'closed for privacy by ' + s.privacy, s.error, ...(s.notes ?? [])]
        .filter(Boolean)
        .map(sentence)
        .join('. ');
      stateCell(tr, 1, s.state, words).classList.toggle('error', Boolean(words));
      cell(
        tr,
        2,
        fmt.media(s.tracks.filter((t) => !fmt.isAudio(t))),
        s.sub
          ? `sub ${s.sub.error ? 'failed' : s.sub.state} ${s.sub.tracks?.length ? fmt.media(s.sub.tracks) : ''}`.trim()
          : '',
      );
      cell(tr, 3, fmt.media(s.tracks.filter(fmt.isAudio)));
      cell(tr, 4, fmt.bitrate(s.tracks.reduce((n, t) => n + t.bitrate, 0)));
      cell(tr, 5, fmt.count(s.watchers));
      cell(tr, 6, fmt.count(s.restarts));
    },
  );
}

// ---- the clockwork

async function fetchReport() {
  const response = await fetch('/api/v1/report', { signal: AbortSignal.timeout(5000) });
  if (!response.ok) throw new Error('status ' + response.status);
  return response.json();
}

async function tick() {
  try {
    const report = (window.kvsagent.report = await fetchReport());
    misses = 0;
    showHeader(report);
    showChannels(report);
    showSources(report);
    autoStart(report);
  } catch (e) {
    misses++;
    console.warn('report', e);
  }
  const reload = window.kvsagent.report?.reload;
  const safe = window.kvsagent.report?.safe_mode;
  byId('banner').hidden = misses < 2 && reload?.ok !== false && !safe;
  if (safe) text(byId('banner'), 'Safe mode: ' + safe);
  if (reload?.ok === false)
    text(
      byId('banner'),
      `The config that was read ${fmt.seconds(fmt.ago(window.kvsagent.report.now, reload.at))} ago was refused; the ` +
        `one before it runs on. ${reload.error}`,
    );
  const stuck = window.kvsagent.report?.stuck ?? [];
  if (stuck.length) {
    byId('banner').hidden = false;
    text(byId('banner'), `Stuck: ${stuck.map((s) => `${s.loop} for ${fmt.seconds(s.seconds)}`).join(', ')}.`);
  }
  document.body.classList.toggle('stale', misses >= 2);
  if (misses >= 2) {
    text(byId('banner'), 'The agent does not answer. What you see is old; this page keeps asking.');
    text(byId('overall'), 'unreachable');
    tone(byId('overall'), 'bad');
  }
  await Promise.all(
    [...cards.values()].map(async (card) => {
      await card.player.measure().catch(() => {});
      card.showPicture();
    }),
  );
}

for (;;) {
  const next = new Promise((resolve) => setTimeout(resolve, 1000));
  await tick();
  await next;
}
