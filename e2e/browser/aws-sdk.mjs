// Does with the AWS SDK for JavaScript and the official KVS WebRTC SDK in Node what an application does with a channel,
// from its creation to its deletion. The first thing that is not as it would be with AWS ends it with an error.
//
//   NODE_EXTRA_CA_CERTS=ca.pem node aws-sdk.mjs https://127.0.0.1:9443 CHANNEL
import assert from 'node:assert/strict';
import { once } from 'node:events';
import * as video from '@aws-sdk/client-kinesis-video';
import {
  GetIceServerConfigCommand,
  KinesisVideoSignalingClient,
  SendAlexaOfferToMasterCommand,
} from '@aws-sdk/client-kinesis-video-signaling';
import {
  JoinStorageSessionAsViewerCommand,
  JoinStorageSessionCommand,
  KinesisVideoWebRTCStorageClient,
} from '@aws-sdk/client-kinesis-video-webrtc-storage';
import kvs from 'amazon-kinesis-video-streams-webrtc';
import ws from 'ws';

globalThis.WebSocket ??= ws; // which Node has by itself from version 22 on

const [endpoint, name] = process.argv.slice(2);
const keys = { accessKeyId: 'localkvs', secretAccessKey: 'localkvs' };
const settings = { region: 'us-west-2', credentials: keys, maxAttempts: 1 };
const step = (text) => console.log(text);
const refused = (promise, name, status) =>
  assert.rejects(promise, (error) => error.name === name && error.$metadata.httpStatusCode === status);

const control = new video.KinesisVideoClient({ ...settings, endpoint });
const call = (Command, input) => control.send(new Command(input));

step('create');
const { ChannelARN } = await call(video.CreateSignalingChannelCommand, {
  ChannelName: name,
  SingleMasterConfiguration: { MessageTtlSeconds: 30 },
  Tags: [{ Key: 'place', Value: 'gate' }],
});
assert.match(ChannelARN, new RegExp(`^arn:aws:kinesisvideo:us-west-2:\\d{12}:channel/${name}/\\d{13}$`));
await refused(call(video.CreateSignalingChannelCommand, { ChannelName: name }), 'ResourceInUseException', 400);

step('describe and list');
const { ChannelInfo: info } = await call(video.DescribeSignalingChannelCommand, { ChannelName: name });
assert.equal(info.ChannelARN, ChannelARN);
assert.equal(info.ChannelStatus, 'ACTIVE');
assert.equal(info.SingleMasterConfiguration.MessageTtlSeconds, 30);
assert.ok(Math.abs(info.CreationTime - Date.now()) < 60_000, `created at ${info.CreationTime}`);
const listed = [];
const pages = video.paginateListSignalingChannels(
  { client: control, pageSize: 1 },
  { ChannelNameCondition: { ComparisonOperator: 'BEGINS_WITH', ComparisonValue: name } },
);
for await (const page of pages) listed.push(...page.ChannelInfoList.map((c) => c.ChannelName));
assert.deepEqual(listed, [name]);

step('tag');
await call(video.TagResourceCommand, { ResourceARN: ChannelARN, Tags: [{ Key: 'floor', Value: '2' }] });
await call(video.UntagResourceCommand, { ResourceARN: ChannelARN, TagKeyList: ['place'] });
assert.deepEqual((await call(video.ListTagsForResourceCommand, { ResourceARN: ChannelARN })).Tags, { floor: '2' });

step('update');
const update = (CurrentVersion) =>
  call(video.UpdateSignalingChannelCommand, {
    ChannelARN,
    CurrentVersion,
    SingleMasterConfiguration: { MessageTtlSeconds: 60 },
  });
await update(info.Version);
await refused(update(info.Version), 'VersionMismatchException', 400);

step('endpoints');
const endpoints = async (Role, ...Protocols) => {
  const { ResourceEndpointList } = await call(video.GetSignalingChannelEndpointCommand, {
    ChannelARN,
    SingleMasterChannelEndpointConfiguration: { Protocols, Role },
  });
  return Object.fromEntries(ResourceEndpointList.map((e) => [e.Protocol, e.ResourceEndpoint]));
};
const { WSS: wssMaster, HTTPS: https } = await endpoints('MASTER', 'WSS', 'HTTPS');
const { WSS: wssViewer } = await endpoints('VIEWER', 'WSS');
assert.match(wssMaster, /^wss:/);
await refused(endpoints('MASTER', 'WEBRTC'), 'InvalidArgumentException', 400); // without storage

step('ICE servers');
const signaling = new KinesisVideoSignalingClient({ ...settings, endpoint: https });
const { IceServerList } = await signaling.send(
  new GetIceServerConfigCommand({ ChannelARN, ClientId: 'viewer-1', Service: 'TURN' }),
);
for (const { Uris, Username, Password, Ttl } of IceServerList) {
  assert.ok(Uris.length > 0 && Uris.every((u) => /^turns?:/.test(u)), `URIs ${Uris}`);
  assert.ok(Username && Password && Ttl === 300, `TTL ${Ttl}`);
}

step('master and viewer');
const connect = async (role, channelEndpoint, clientId) => {
  const client = new kvs.SignalingClient({
    channelARN: ChannelARN,
    channelEndpoint,
    role,
    clientId,
    region: settings.region,
    credentials: keys,
  });
  client.on('error', (error) => assert.fail(`${role}: ${error.message ?? error}`));
  client.open();
  await once(client, 'open');
  return client;
};
const master = await connect('MASTER', wssMaster);
const viewer = await connect('VIEWER', wssViewer, 'viewer-1');
const next = (client, event) => once(client, event, { signal: AbortSignal.timeout(10_000) });
const candidate = (n) => ({
  candidate: `candidate:${n} 1 udp 2130706431 192.0.2.${n} 5000 typ host`,
  sdpMid: '0',
  sdpMLineIndex: 0,
});

let heard = next(master, 'sdpOffer');
viewer.sendSdpOffer({ type: 'offer', sdp: 'v=0\r\noffer\r\n' });
assert.deepEqual(await heard, [{ type: 'offer', sdp: 'v=0\r\noffer\r\n' }, 'viewer-1']);
heard = next(viewer, 'sdpAnswer');
master.sendSdpAnswer({ type: 'answer', sdp: 'v=0\r\nanswer\r\n' }, 'viewer-1', 'answer-1');
assert.deepEqual((await heard)[0], { type: 'answer', sdp: 'v=0\r\nanswer\r\n' });
heard = next(master, 'iceCandidate');
viewer.sendIceCandidate(candidate(1));
assert.deepEqual(await heard, [candidate(1), 'viewer-1']);
heard = next(viewer, 'iceCandidate');
master.sendIceCandidate(candidate(2), 'viewer-1');
assert.deepEqual((await heard)[0], candidate(2));
heard = next(master, 'statusResponse');
master.sendSdpAnswer({ type: 'answer', sdp: 'x'.repeat(10_000) }, 'viewer-1', 'too-long');
const [status] = await heard;
assert.equal(status.correlationId, 'too-long');
assert.equal(status.errorType, 'InvalidArgumentException');
assert.equal(status.statusCode, '400');

step('offer of an Alexa device');
master.once('sdpOffer', (_, id) => master.sendSdpAnswer({ type: 'answer', sdp: 'for Alexa' }, id));
const MessagePayload = Buffer.from(JSON.stringify({ type: 'offer', sdp: 'of Alexa' })).toString('base64');
const { Answer } = await signaling.send(
  new SendAlexaOfferToMasterCommand({ ChannelARN, SenderClientId: 'alexa', MessagePayload }),
);
assert.deepEqual(JSON.parse(Buffer.from(Answer, 'base64')), { type: 'answer', sdp: 'for Alexa' });

step('storage sessions');
const StreamARN = ChannelARN.replace(':channel/', ':stream/');
await call(video.UpdateMediaStorageConfigurationCommand, {
  ChannelARN,
  MediaStorageConfiguration: { Status: 'ENABLED', StreamARN },
});
const { MediaStorageConfiguration } = await call(video.DescribeMediaStorageConfigurationCommand, { ChannelARN });
assert.deepEqual(MediaStorageConfiguration, { Status: 'ENABLED', StreamARN });
const { WEBRTC } = await endpoints('MASTER', 'WSS', 'HTTPS', 'WEBRTC');
const storage = new KinesisVideoWebRTCStorageClient({ ...settings, endpoint: WEBRTC });
await refused(
  storage.send(new JoinStorageSessionAsViewerCommand({ channelArn: ChannelARN, clientId: 'nobody' })),
  'InvalidArgumentException',
  400,
);
const joined = async (client, command) => {
  const offered = next(client, 'sdpOffer');
  await storage.send(command);
  const [{ type, sdp }, sender] = await offered;
  assert.equal(type, 'offer');
  assert.equal(sender, undefined);
  return sdp;
};
const toMaster = await joined(master, new JoinStorageSessionCommand({ channelArn: ChannelARN }));
const toViewer = await joined(
  viewer,
  new JoinStorageSessionAsViewerCommand({ channelArn: ChannelARN, clientId: 'viewer-1' }),
);
for (const [sdp, direction] of [
  [toMaster, 'recvonly'],
  [toViewer, 'sendonly'],
]) {
  for (const part of ['H264/90000', 'opus/48000/2', 'ice-options:trickle', `a=${direction}`])
    assert.ok(sdp.includes(part), `${part} in ${sdp}`);
}

step('delete');
viewer.close();
const closed = next(master, 'close');
await call(video.DeleteSignalingChannelCommand, { ChannelARN });
await closed;
await refused(call(video.DescribeSignalingChannelCommand, { ChannelName: name }), 'ResourceNotFoundException', 404);

step('wrong secret');
const stranger = new video.KinesisVideoClient({
  ...settings,
  endpoint,
  credentials: { ...keys, secretAccessKey: 'wrong' },
});
await assert.rejects(
  stranger.send(new video.ListSignalingChannelsCommand({})),
  (error) => error.$metadata.httpStatusCode === 403,
);
step('done');
process.exit(0);
