// Player shows one channel in a <video>. It offers to the channel's master through the agent (POST .../watch), reads
// the answer and the candidates line by line, and begins again when the connection fails, until stop is called.

const answerTimeout = 20000; // ms, from the offer to the answer: the agent may have to connect to the channel first
const pictureTimeout = 20000; // ms, from the answer to the first frame
const brokenTimeout = 5000; // ms that a connection may be interrupted before we make another
const gatherTimeout = 1000; // ms for our candidates
const stallTimeout = 5000; // ms without a new frame before we say so
const maxWait = 5000; // ms between attempts
const maxLine = 1 << 20; // characters of one line of signaling
const maxCandidates = 64; // kept until the answer is there

const noPicture = ['no picture came', 'the master answered, but sent no picture that this browser can show'];

// Failure is an error with words for people. final: trying again cannot help.
class Failure extends Error {
  constructor(text, hint = '', final = false) {
    super(text);
    this.hint = hint;
    this.final = final;
  }
}

export class Player {
  // stage: idle, offering, answering, connecting, picture, playing, stalled, interrupted, retrying, failed. Read by the
  // page and by tests.
  stage = 'idle';
  error = '';
  hint = '';
  firstFrameMs = 0;
  attempts = 0;
  retryAt = 0; // performance.now() of the next attempt
  stats = null;
  source = null; // of the channel, as the report has it: tells what to offer, and the cure of a refusal
  hasPicture = false; // the video element shows a frame, maybe an old one
  #abort = null;
  #pc = null;
  #last = null; // getStats of the video, one second ago
  #moved = 0; // performance.now() when a new frame was last seen

  constructor(channel, video, changed) {
    this.channel = channel;
    this.video = video;
    this.changed = changed;
  }

  get running() {
    return this.#abort !== null;
  }

  start() {
    if (this.running) return;
    this.#abort = new AbortController();
    this.error = this.hint = '';
    this.#run(this.#abort);
  }

  stop() {
    this.#abort?.abort();
    this.#abort = null;
    this.#clear();
    this.error = this.hint = '';
    this.#set('idle');
  }

  #set(stage) {
    if (this.stage === stage) return;
    this.stage = stage;
    this.changed(this);
  }

  #clear() {
    this.video.srcObject = null;
    this.hasPicture = false;
    this.stats = this.#last = null;
    this.firstFrameMs = 0;
  }

  async #run(abort) {
    let wait = 1000;
    while (!abort.signal.aborted) {
      const begun = performance.now();
      this.attempts++;
      const err = await this.#session(abort.signal).catch((e) => e);
      if (abort.signal.aborted) return;
      this.error = err.message;
      this.hint = err.hint || '';
      if (err.final) {
        this.#abort = null;
        this.#clear();
        this.#set('failed');
        return;
      }
      if (performance.now() - begun > 30000) wait = 1000; // it stayed well for a while
      this.retryAt = performance.now() + wait;
      this.#set('retrying');
      await pause(wait, abort.signal);
      wait = Math.min(wait * 2, maxWait);
    }
  }

  // #session is one connection from offer to failure. It never resolves with a value: it throws why it is over.
  async #session(outer) {
    const own = new AbortController(); // ends the stream and the timers of this session
    const signal = AbortSignal.any([outer, own.signal]);
    const pc = new RTCPeerConnection({ bundlePolicy: 'max-bundle' });
    const begun = performance.now();
    this.#pc = pc;
    this.#last = null;
    try {
      this.#set('offering');
      const offer = await makeOffer(pc, this.source);
      const { over, within, fail } = this.#watchConnection(pc, signal, begun);
      this.#set('answering');
      const signaling = this.#signaling(pc, offer, signal, within, fail);
      signaling.catch(() => {}); // it may still fail when over has already
      await Promise.race([over, signaling]);
      await over; // signaling has ended; the picture goes on without it
    } finally {
      own.abort();
      pc.close();
      if (this.#pc === pc) this.#pc = null;
    }
  }

  // #watchConnection returns a promise that rejects when the connection is over, fail, which makes it so, and within,
  // which sets the one timer that does.
  #watchConnection(pc, signal, begun) {
    let fail;
    const over = new Promise((_, reject) => {
      fail = reject;
    });
    let timer = 0;
    const within = (ms, text, hint) => {
      clearTimeout(timer);
      timer = setTimeout(() => fail(new Failure(text, hint)), ms);
    };
    over.catch(() => {}); // it may fail while the offer is still being sent
    signal.addEventListener('abort', () => {
      clearTimeout(timer);
      fail(new Failure('stopped'));
    });

    const media = new MediaStream();
    let shown = false;
    const firstFrame = () => {
      if (shown || signal.aborted) return;
      shown = true;
      clearTimeout(timer);
      this.firstFrameMs = Math.round(performance.now() - begun);
      this.hasPicture = true;
      this.error = this.hint = '';
      this.#set('playing');
    };
    pc.addEventListener('track', (e) => {
      media.addTrack(e.track);
      if (this.video.srcObject === media) return;
      this.video.srcObject = media;
      onFrame(this.video, signal, firstFrame);
      this.video.play().catch(() => {}); // the next start or a click plays it
    });
    pc.addEventListener('connectionstatechange', () => {
      switch (pc.connectionState) {
        case 'connected':
          if (shown) clearTimeout(timer);
          else within(pictureTimeout, ...noPicture);
          this.#set(shown ? 'playing' : 'picture');
          break;
        case 'disconnected':
          this.#set('interrupted');
          within(brokenTimeout, 'the connection was lost', '');
          break;
        case 'failed':
        case 'closed':
          fail(
            new Failure(
              shown ? 'the connection was lost' : 'no connection to the camera host could be made',
              shown ? '' : 'a firewall may block UDP between this browser and the master',
            ),
          );
      }
    });
    return { over, within, fail };
  }

  // #signaling sends the offer and applies what comes back, until the stream ends.
  async #signaling(pc, offer, signal, within, fail) {
    within(answerTimeout, 'the master did not answer', 'is a master connected to the channel?');
    const response = await fetch(`/api/v1/channels/${encodeURIComponent(this.channel)}/watch`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ sdp: offer }),
      signal,
    }).catch(() => {
      throw new Failure('the agent cannot be reached');
    });
    if (!response.ok) throw await problem(response);

    let answered = false;
    const early = []; // candidates before the answer, in order
    try {
      for await (const line of lines(response.body)) {
        const m = JSON.parse(line);
        if (m.type === 'answer' && !answered) {
          const reason = refusal(m.sdp);
          if (reason) throw new Failure(reason, cure(reason, this.source));
          await pc.setRemoteDescription({ type: 'answer', sdp: m.sdp });
          answered = true;
          if (this.stage === 'answering') this.#set('connecting');
          within(pictureTimeout, ...noPicture);
          onClosed(pc, signal, () => fail(new Failure('the master ended the session')));
          for (const c of early.splice(0)) await addCandidate(pc, c);
        } else if (m.type === 'candidate') {
          if (answered) await addCandidate(pc, m);
          else if (early.length < maxCandidates) early.push(m);
        } else if (m.type === 'error') {
          throw new Failure(m.error, m.hint);
        }
      }
    } catch (e) {
      if (answered) return; // losing signaling never ends media
      throw e instanceof Failure ? e : new Failure('the answer could not be used: ' + e.message);
    }
    if (!answered) throw new Failure('signaling ended without an answer', 'is a master connected to the channel?');
  }

  // measure reads getStats; the page calls it once a second.
  async measure() {
    const pc = this.#pc;
    if (!pc || (this.stage !== 'playing' && this.stage !== 'stalled')) return;
    const report = await pc.getStats();
    const all = [...report.values()];
    const video = all.find((s) => s.type === 'inbound-rtp' && s.kind === 'video');
    const audio = all.find((s) => s.type === 'inbound-rtp' && s.kind === 'audio');
    const pair = all.find((s) => s.type === 'candidate-pair' && s.nominated && s.state === 'succeeded');
    // It may have been stopped meanwhile.
    if (!video || this.#pc !== pc || (this.stage !== 'playing' && this.stage !== 'stalled')) return;
    const codec = (s) => report.get(s?.codecId)?.mimeType?.split('/')[1] ?? '';
    const before = this.#last ?? video;
    const took = (video.timestamp - before.timestamp) / 1000;
    this.#last = video;
    if (video.framesDecoded !== before.framesDecoded || before === video) this.#moved = performance.now();
    this.#set(performance.now() - this.#moved > stallTimeout ? 'stalled' : 'playing');
    this.stats = {
      codec: codec(video),
      audio: audio?.packetsReceived ? codec(audio) : '',
      width: video.frameWidth,
      height: video.frameHeight,
      frames: video.framesDecoded,
      dropped: video.framesDropped,
      lost: video.packetsLost,
      fps: video.framesPerSecond ?? (took ? (video.framesDecoded - before.framesDecoded) / took : 0),
      bitrate: took ? ((video.bytesReceived - before.bytesReceived) * 8) / took : 0,
      rtt: pair?.currentRoundTripTime ?? 0,
    };
  }
}

// offered lists the codecs of video to offer, the source's own first. H.264 and VP8 are what a source turns to while
// its camera is away.
function offered(source) {
  const own = [...(source?.tracks ?? []), ...(source?.sub?.tracks ?? [])].map((t) => t.codec.toUpperCase());
  const video = own.filter((c) => /^(H264|H265|VP8|VP9|AV1)$/.test(c));
  // Before the source has run nobody knows what it gives.
  return [...new Set([...video, 'H264', 'VP8', ...(video.length ? [] : ['H265', 'VP9', 'AV1'])])];
}

// makeOffer returns the SDP of an offer to receive, with all candidates that were found in time. KVS takes 10,000
// characters of base64 (KVS dev guide, SendSdpOffer), which a browser's full list of codecs does not leave room for: so
// only what our sources produce is offered, each codec in the profiles that the browser lists first.
async function makeOffer(pc, source) {
  const order = offered(source);
  const rank = (c) => order.indexOf(c.mimeType.slice('video/'.length).toUpperCase());
  const usable = (c) => !/^video\/H264$/i.test(c.mimeType) || /packetization-mode=1/.test(c.sdpFmtpLine);
  const seen = {};
  const few = (c) => (seen[c.mimeType] = (seen[c.mimeType] ?? 0) + 1) <= (/H264/i.test(c.mimeType) ? 4 : 1);
  receive(pc, 'video', (all) => [
    ...all
      .filter((c) => rank(c) >= 0 && usable(c) && few(c))
      .sort((a, b) => rank(a) - rank(b)),
    ...all.filter((c) => /^video\/rtx$/i.test(c.mimeType)),
  ]);
  receive(pc, 'audio', (all) => all.filter((c) => /^audio\/(opus|PCMU|PCMA)$/i.test(c.mimeType)));
  await pc.setLocalDescription();
  await gathered(pc);
  const sdp = pc.localDescription.sdp;
  const length = 4 * Math.ceil(JSON.stringify({ type: 'offer', sdp }).length / 3);
  if (length > 10000)
    throw new Failure(
      `the browser's offer has ${length} characters, KVS allows 10,000`,
      'fewer network interfaces make it shorter',
      true,
    );
  return sdp;
}

function receive(pc, kind, wanted) {
  const transceiver = pc.addTransceiver(kind, { direction: 'recvonly' });
  const codecs = wanted(RTCRtpReceiver.getCapabilities?.(kind)?.codecs ?? []);
  if (codecs.length && transceiver.setCodecPreferences) transceiver.setCodecPreferences(codecs);
}

function gathered(pc) {
  return new Promise((resolve) => {
    const done = () => {
      if (pc.iceGatheringState === 'complete') resolve();
    };
    pc.addEventListener('icegatheringstatechange', done);
    setTimeout(resolve, gatherTimeout);
    done();
  });
}

// cure is what an owner can do about a refusal, by its code (docs/viewers.md). This page is his own, so it may tell
// what viewers are not told.
function cure(reason, source) {
  const codecs = (source?.tracks ?? []).map((t) => t.codec).join(' and ');
  switch (reason.split(':')[0]) {
    case 'source-offline':
      return source?.error || 'look at the source below: is the camera on, and its URL right?';
    case 'source-unsupported':
    case 'no-common-codec':
      return (
        `the source gives ${codecs || 'nothing yet'}, which this browser does not take: try another browser` +
        (/H264/.test(codecs) ? '' : ', set the camera to H.264, or give the source a sub stream in H.264')
      );
    case 'viewer-limit':
      return 'raise max_viewers of this channel, or close another viewer';
    case 'busy':
      return 'wait a few seconds; limits.max_pending says how many may connect at a time';
  }
  return 'the sources below and the log tell more';
}

// refusal is why the master has no picture for us, in an answer that rejects all of it: the session name. It is empty
// for any other answer.
function refusal(sdp) {
  const sections = sdp.match(/^m=(?:audio|video) \d+/gm) ?? [];
  if (!sections.length || sections.some((m) => !m.endsWith(' 0'))) return '';
  return /^s=(.*?)\r?$/m.exec(sdp)?.[1] || 'the master refuses';
}

async function addCandidate(pc, m) {
  const { candidate = '', sdpMid, sdpMLineIndex } = m;
  // Media is bundled: all candidates belong to the first section.
  if (sdpMid === undefined && sdpMLineIndex === undefined && candidate) m = { sdpMid: '0' };
  // One bad candidate is not a failure.
  await pc.addIceCandidate({ candidate, sdpMid: m.sdpMid, sdpMLineIndex: m.sdpMLineIndex }).catch(() => {});
}

// onFrame calls f when the video shows its next frame.
function onFrame(video, signal, f) {
  if (video.requestVideoFrameCallback) {
    const id = video.requestVideoFrameCallback(f);
    signal.addEventListener('abort', () => video.cancelVideoFrameCallback(id));
    return;
  }
  video.addEventListener('loadeddata', f, { once: true, signal });
}

// onClosed calls f when the other side closes the connection. No connectionstatechange tells that: the browser would
// wait for ICE to time out.
function onClosed(pc, signal, f) {
  const transport = pc.getReceivers()[0]?.transport; // one for all, see bundlePolicy
  transport?.addEventListener(
    'statechange',
    () => {
      if (transport.state === 'closed') f();
    },
    { signal },
  );
}

// lines yields the lines of a stream of text.
async function* lines(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const parts = (rest + value).split('\n');
    rest = parts.pop();
    if (rest.length > maxLine) throw new Failure('a line of signaling is too long');
    yield* parts.filter(Boolean);
  }
}

async function problem(response) {
  const p = await response.json().catch(() => ({}));
  return new Failure(
    p.error || `the agent said ${response.status}`,
    p.hint,
    response.status < 500 || response.status === 501,
  );
}

function pause(ms, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener('abort', () => {
      clearTimeout(timer);
      resolve();
    });
  });
}
