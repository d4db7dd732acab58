// Watches the video #remote picture by picture, if it shows numbered ones (clip_test.go): window.presented(),
// window.offered() and, for comparison, window.plain() and window.connected().
(() => {
  'use strict';
  const most = 20000; // pictures that are kept
  const video = document.querySelector('#remote');
  const seen = [];
  let offered = 0;
  let connected = 0;

  const canvas = document.createElement('canvas');
  canvas.width = 320; // the number at its own size, and a row of the bars below it
  canvas.height = 33;
  const context = canvas.getContext('2d', { willReadFrequently: true });
  const bars = [
    [191, 191, 191],
    [191, 191, 0],
    [0, 191, 191],
    [0, 191, 0],
    [191, 0, 191],
    [191, 0, 0],
    [0, 0, 191],
  ];

  // number is -1 when a bit is not clear: each of the 20 cells of the upper row must be the opposite of that below it;
  // and -2 when there was nothing to read, which Chromium sometimes has of its first picture.
  function number(data) {
    if (data[3] === 0) return -2;
    const green = (x, y) => data[4 * (320 * y + x) + 1];
    let n = 0;
    for (let x = 8; x < 320; x += 16) {
      const difference = green(x, 8) - green(x, 24);
      if (Math.abs(difference) < 64) return -1;
      n = 2 * n + (difference > 0 ? 1 : 0);
    }
    return n;
  }

  // right says whether the bars have their colours.
  function right(data) {
    return bars.every((want, i) => {
      const at = 4 * (320 * 32 + Math.round((i + 0.5) * 10));
      return want.every((v, c) => Math.abs(data[at + c] - v) <= 30);
    });
  }

  function look(now, { presentationTime = now }) {
    video.requestVideoFrameCallback(look);
    const { videoWidth: w, videoHeight: h } = video;
    context.clearRect(0, 0, canvas.width, canvas.height);
    context.drawImage(video, 0, 0, 320, 32, 0, 0, 320, 32);
    context.drawImage(video, 0, Math.round(0.3 * h), w, 1, 0, 32, 70, 1);
    const { data } = context.getImageData(0, 0, 320, 33);
    if (seen.length < most)
      seen.push([performance.timeOrigin + presentationTime, number(data), w, right(data) ? 1 : 0]);
  }
  video.requestVideoFrameCallback(look);

  // presented is what was shown since picture from: [when in milliseconds since 1970, its number, its width, 1 when the
  // bars are right].
  window.presented = (from) => seen.slice(from);

  // offering notes that an offer leaves now; offered is when that was, in milliseconds since 1970.
  window.offering = () => {
    offered = performance.timeOrigin + performance.now();
  };
  window.offered = () => offered;

  // connected is when plain's connection was established.
  window.connected = () => connected;

  // plain plays a master that answers a POST to url, with no signaling service between.
  window.plain = async (url) => {
    const pc = new RTCPeerConnection();
    pc.addEventListener('connectionstatechange', () => {
      if (pc.connectionState === 'connected') connected = performance.timeOrigin + performance.now();
    });
    pc.addEventListener('track', ({ track }) => {
      video.srcObject = new MediaStream([track]);
    });
    pc.addTransceiver('video', { direction: 'recvonly' });
    await pc.setLocalDescription();
    window.offering();
    const response = await fetch(url, { method: 'POST', body: pc.localDescription.sdp });
    if (!response.ok) throw new Error(await response.text());
    await pc.setRemoteDescription({ type: 'answer', sdp: await response.text() });
  };
})();
