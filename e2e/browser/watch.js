// Runs in every page before its own scripts, and lets a test see what arrives, whoever made the connection:
// window.stats(), window.directions(), window.leave(), window.textOf(), window.colours() and window.watchChannel().
(() => {
  const connections = [];
  const Native = window.RTCPeerConnection;
  window.RTCPeerConnection = new Proxy(Native, {
    construct(target, args) {
      const connection = new target(...args);
      connections.push(connection);
      return connection;
    },
  });

  // watchChannel starts the picture of a channel on the agent's own page.
  window.watchChannel = (name) => {
    const player = window.kvsagent?.channels[name];
    if (player && !player.running) player.start();
  };

  // stats adds up the inbound tracks of all connections.
  window.stats = async () => {
    const sum = {
      now: performance.now(), // milliseconds
      connections: connections.map((c) => c.connectionState),
      video: {
        codec: '',
        frames: 0,
        received: 0,
        key_frames: 0,
        width: 0,
        height: 0,
        lost: 0,
        dropped: 0,
        freezes: 0,
        plis: 0,
        nacks: 0,
      },
      audio: { codec: '', packets: 0, lost: 0, energy: 0 },
      pairs: [],
    };
    for (const connection of connections) {
      const report = await connection.getStats();
      for (const s of report.values()) {
        if (s.type === 'candidate-pair' && s.nominated && s.state === 'succeeded') {
          sum.pairs.push(
            `${report.get(s.localCandidateId)?.candidateType}>${report.get(s.remoteCandidateId)?.candidateType}`,
          );
        }
        if (s.type !== 'inbound-rtp') continue;
        const codec = report.get(s.codecId)?.mimeType ?? '';
        if (s.kind === 'video') {
          sum.video.codec ||= codec;
          sum.video.frames += s.framesDecoded ?? 0;
          sum.video.received += s.framesReceived ?? 0;
          sum.video.key_frames += s.keyFramesDecoded ?? 0;
          sum.video.width = s.frameWidth ?? sum.video.width;
          sum.video.height = s.frameHeight ?? sum.video.height;
          sum.video.lost += s.packetsLost ?? 0;
          sum.video.dropped += s.framesDropped ?? 0;
          sum.video.freezes += s.freezeCount ?? 0;
          sum.video.plis += s.pliCount ?? 0;
          sum.video.nacks += s.nackCount ?? 0;
        } else {
          sum.audio.codec ||= codec;
          sum.audio.packets += s.packetsReceived ?? 0;
          sum.audio.lost += s.packetsLost ?? 0;
          sum.audio.energy += s.totalAudioEnergy ?? 0;
        }
      }
    }
    return sum;
  };

  // directions is where media goes, by section of the SDP of all connections; "stopped" was rejected.
  window.directions = () => connections.flatMap((c) => c.getTransceivers().map((t) => t.currentDirection));

  // leave ends all connections.
  window.leave = () => connections.forEach((c) => c.close());

  // textOf is what a person reads in the element that selector names.
  window.textOf = (selector) => document.querySelector(selector)?.innerText ?? '';

  // colours reads them, as [r,g,b], at points of the video that selector names; each point is [x,y] from 0 to 1.
  window.colours = (selector, points) => {
    const video = document.querySelector(selector);
    if (!video?.videoWidth) return null;
    const canvas = document.createElement('canvas');
    canvas.width = video.videoWidth;
    canvas.height = video.videoHeight;
    const context = canvas.getContext('2d', { willReadFrequently: true });
    context.drawImage(video, 0, 0);
    return points.map(([x, y]) => [
      ...context.getImageData(x * canvas.width, y * canvas.height, 1, 1).data.slice(0, 3),
    ]);
  };
})();
