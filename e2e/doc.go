// Package e2e tests the whole system from outside: the binary, with real browsers, the official SDK, cameras and the
// AWS tools.
//
//	ffmpeg --RTSP--> camera --RTSP--> kvsagent run --WebRTC--> Chromium with the official JS SDK
//	                                      |                        |
//	                                      `------ localkvs --------´
//
// It holds tests only, each in a file that is named after its subject. What they start and how they wait is in package
// rig. make e2e installs what they need.
package e2e
