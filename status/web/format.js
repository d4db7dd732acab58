// How numbers and states are put into words. Every function returns a string, "–" for what is not known.

const none = '–';

export function bitrate(bits) {
  if (!bits) return none;
  if (bits >= 1e6) return (bits / 1e6).toFixed(bits >= 1e7 ? 0 : 1) + ' Mbit/s';
  return Math.round(bits / 1e3) + ' kbit/s';
}

export function seconds(s) {
  s = Math.max(0, Math.round(s));
  if (s < 60) return s + ' s';
  if (s < 3600) return Math.floor(s / 60) + ' min ' + (s % 60) + ' s';
  if (s < 86400) return Math.floor(s / 3600) + ' h ' + Math.floor((s % 3600) / 60) + ' min';
  return Math.floor(s / 86400) + ' d ' + Math.floor((s % 86400) / 3600) + ' h';
}

export function millis(ms) {
  if (!ms) return none;
  if (ms < 10) return ms.toFixed(1) + ' ms';
  return ms < 10000 ? Math.round(ms) + ' ms' : seconds(ms / 1000);
}

export function count(n) {
  return (n || 0).toLocaleString('en');
}

export function size(width, height) {
  return width && height ? width + '×' + height : '';
}

export function fps(n) {
  return n ? (n < 10 ? n.toFixed(1) : String(Math.round(n))) + ' fps' : '';
}

const audio = /^(opus|pcm[ua])$/i;

export const isAudio = (track) => audio.test(track.codec);

// media is one line for tracks: "H264 1280×720 25 fps".
export function media(tracks) {
  const one = (t) => [t.codec, size(t.width, t.height), t.paused ? 'paused' : fps(t.fps)].filter(Boolean).join(' ');
  return tracks.map(one).join(', ') || none;
}

// path is how the media travels: directly, or through a relay.
export function path(peer) {
  if (!peer.local && !peer.remote) return none;
  if (peer.local === 'relay' || peer.remote === 'relay') return 'relay';
  return peer.local === 'host' && peer.remote === 'host' ? 'host' : 'direct';
}

// ago is the time from then to now, both as they stand in the report, in seconds.
export function ago(now, then) {
  const d = (Date.parse(now) - Date.parse(then)) / 1000;
  return d >= 0 ? d : 0;
}

export const tones = {
  connected: 'good',
  running: 'good',
  connecting: 'busy',
  negotiating: 'busy',
  starting: 'busy',
  waiting: 'busy',
  disconnected: 'busy',
  displaced: 'bad',
  stalled: 'bad',
  failed: 'bad',
  idle: 'idle',
};
