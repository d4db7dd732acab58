// The two parts that a page plays with the official SDK: offer, and answer. Each takes {channelARN, channelEndpoint,
// role, clientId, region, iceServers, relayOnly, bundlePolicy, send, candidatesFirst, offerTo, data, through} and
// resolves once signaling is open.
'use strict';

const keys = { accessKeyId: 'localkvs', secretAccessKey: 'localkvs' };

function signaling({ channelARN, channelEndpoint, role, clientId, region }) {
  const config = { channelARN, channelEndpoint, role, clientId, region, credentials: keys };
  if (channelEndpoint.startsWith('ws:')) {
    // The SDK's own signer insists on wss. The signature covers the host and the query, not the scheme.
    const signer = new KVSWebRTC.SigV4RequestSigner(region, keys);
    config.requestSigner = {
      getSignedURL: async (endpoint, query, date) =>
        (await signer.getSignedURL(endpoint.replace('ws:', 'wss:'), query, date)).replace('wss:', 'ws:'),
    };
  }
  return new KVSWebRTC.SignalingClient(config);
}

function connection({ iceServers = [], relayOnly = false, bundlePolicy = 'balanced' }) {
  const pc = new RTCPeerConnection({ iceServers, bundlePolicy, iceTransportPolicy: relayOnly ? 'relay' : 'all' });
  pc.addEventListener('track', ({ streams: [stream], track }) => {
    const video = document.querySelector('#remote');
    if (stream) video.srcObject = stream;
    else (video.srcObject ??= new MediaStream()).addTrack(track);
  });
  pc.addEventListener('icecandidateerror', ({ url, errorCode, errorText }) =>
    console.error('ice', url, errorCode, errorText),
  );
  pc.addEventListener('icecandidate', ({ candidate }) => console.log('local', candidate?.candidate));
  pc.addEventListener('connectionstatechange', () => console.log('connection', pc.connectionState));
  return pc;
}

// candidates holds what arrives before the remote description is set: the SDK hands them out as soon as it has passed
// on the SDP.
function candidates(pc) {
  const early = [];
  const add = (candidate) =>
    pc.addIceCandidate(candidate).catch((error) => console.error('candidate', JSON.stringify(candidate), error));
  return {
    add: (candidate) => (pc.remoteDescription ? add(candidate) : early.push(candidate)),
    release: () => early.splice(0).forEach(add),
  };
}

// withoutCandidates is the description of a remote that is reached through another address.
const withoutCandidates = ({ type, sdp }) => ({
  type,
  sdp: sdp
    .split('\r\n')
    .filter((line) => !line.startsWith('a=candidate:'))
    .join('\r\n'),
});

function opened(client) {
  client.on('statusResponse', (status) => console.error('status', JSON.stringify(status)));
  client.on('close', () => console.log('signaling closed'));
  return new Promise((resolve, reject) => {
    client.on('open', () => resolve());
    client.on('error', (error) => reject(new Error(`signaling: ${error.message ?? error.type ?? error}`)));
    client.open();
  });
}

// trust makes Chromium ask its driver whether to accept the certificate: it does so for a fetch, but not for a
// WebSocket.
function trust(endpoint) {
  return endpoint.startsWith('wss:')
    ? fetch(endpoint.replace('wss:', 'https:'), { mode: 'no-cors' }).catch(() => {})
    : undefined;
}

const messages = [];
const answers = [];

// answered is what became of each answer.
window.answered = () => answers;

// told is what came over the data channel.
window.told = () => messages;

// offer makes one offer and plays the answer. A master names the viewer in config.offerTo. With config.through, a UDP
// port of 127.0.0.1, the remote is reached there and nowhere else: its own candidates are not used, and it is told
// none.
window.offer = async (config) => {
  const client = signaling(config);
  const pc = connection(config);
  const remote = candidates(pc);
  const to = config.offerTo || undefined;
  client.on('sdpAnswer', async (answer) => {
    try {
      await pc.setRemoteDescription(config.through ? withoutCandidates(answer) : answer);
      answers.push('taken');
    } catch (error) {
      answers.push(error.message);
      throw error;
    }
    if (config.through)
      remote.add({ candidate: `candidate:1 1 udp 2130706431 127.0.0.1 ${config.through} typ host`, sdpMLineIndex: 0 });
    remote.release();
  });
  if (!config.through) {
    client.on('iceCandidate', (candidate) => remote.add(candidate));
    pc.addEventListener('icecandidate', ({ candidate }) => candidate && client.sendIceCandidate(candidate, to));
  }
  await trust(config.channelEndpoint);
  await opened(client);
  if (config.send) {
    const stream = picture();
    for (const track of stream.getTracks()) pc.addTrack(track, stream);
  } else {
    pc.addTransceiver('video', { direction: 'recvonly' });
    pc.addTransceiver('audio', { direction: 'recvonly' });
  }
  if (config.data) pc.createDataChannel('kvsDataChannel').onmessage = ({ data }) => messages.push(data);
  const offer = await pc.createOffer();
  await pc.setLocalDescription(offer);
  if (config.candidatesFirst) await gathered(pc);
  window.offering();
  client.sendSdpOffer(offer, to, 'offer-1'); // as it was made: without the candidates that were found since
  again = async () => {
    await pc.setLocalDescription(await pc.createOffer());
    const answered = new Promise((resolve) => {
      pc.addEventListener('signalingstatechange', () => pc.signalingState === 'stable' && resolve());
    });
    client.sendSdpOffer(pc.localDescription, to);
    await answered;
  };
  transceivers = () => pc.getTransceivers();
  add = (kind) => pc.addTransceiver(kind, { direction: 'recvonly' });
};

let again, transceivers, add;

const ofKind = (kind) => transceivers().find((t) => t.receiver.track.kind === kind && t.currentDirection !== 'stopped');

// direct changes the direction of a kind's section, as AWS's page pauses and resumes, and resolves with what the answer
// made of it.
window.direct = async (kind, direction) => {
  const t = ofKind(kind);
  t.direction = direction;
  await again();
  return t.currentDirection;
};

// stopped stops a kind's transceiver.
window.stopped = async (kind) => {
  ofKind(kind).stop();
  await again();
};

// added adds one.
window.added = async (kind) => {
  const t = add(kind);
  await again();
  return t.currentDirection;
};

function gathered(pc) {
  return new Promise((resolve) => {
    pc.addEventListener('icegatheringstatechange', () => pc.iceGatheringState === 'complete' && resolve());
  });
}

// answer waits for offers, one connection for each who offers, and sends a moving picture and a tone if config.send
// says so.
window.answer = async (config) => {
  const client = signaling(config);
  const peers = new Map(); // by client id; '' is the master
  const peer = (id = '') => {
    if (!peers.has(id)) {
      const pc = connection(config);
      pc.addEventListener(
        'icecandidate',
        ({ candidate }) => candidate && client.sendIceCandidate(candidate, id || undefined),
      );
      peers.set(id, { pc, remote: candidates(pc) });
    }
    return peers.get(id);
  };
  client.on('sdpOffer', async (offer, id) => {
    const { pc, remote } = peer(id);
    await pc.setRemoteDescription(offer);
    remote.release();
    if (config.send) {
      const stream = picture();
      for (const track of stream.getTracks()) pc.addTrack(track, stream);
    }
    await pc.setLocalDescription();
    client.sendSdpAnswer(pc.localDescription, id || undefined, 'answer-1');
  });
  client.on('iceCandidate', (candidate, id) => peer(id).remote.add(candidate));
  await trust(config.channelEndpoint);
  await opened(client);
};

// picture is a canvas that changes, and a tone.
function picture() {
  const canvas = Object.assign(document.createElement('canvas'), { width: 320, height: 240 });
  document.body.append(canvas);
  const context = canvas.getContext('2d');
  let n = 0;
  setInterval(() => {
    context.fillStyle = `hsl(${n++ % 360} 80% 50%)`;
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.fillStyle = 'white';
    context.font = '60px monospace';
    context.fillText(n, 40, 140);
  }, 40);
  const audio = new AudioContext();
  const tone = audio.createOscillator();
  const out = audio.createMediaStreamDestination();
  tone.connect(out);
  tone.start();
  return new MediaStream([...canvas.captureStream(25).getTracks(), ...out.stream.getTracks()]);
}
