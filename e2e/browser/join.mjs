// Joins the storage session of a channel as a viewer, which the AWS CLI of Debian cannot do.
//
//   NODE_EXTRA_CA_CERTS=ca.pem node join.mjs https://127.0.0.1:9443 CHANNEL_ARN CLIENT_ID
import {
  JoinStorageSessionAsViewerCommand,
  KinesisVideoWebRTCStorageClient,
} from '@aws-sdk/client-kinesis-video-webrtc-storage';

const [endpoint, channelArn, clientId] = process.argv.slice(2);
const credentials = { accessKeyId: 'localkvs', secretAccessKey: 'localkvs' };
await new KinesisVideoWebRTCStorageClient({ region: 'us-west-2', endpoint, credentials }).send(
  new JoinStorageSessionAsViewerCommand({ channelArn, clientId }),
);
