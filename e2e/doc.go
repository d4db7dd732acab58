// Package e2e tests the whole system from outside: the binary, with real browsers, the official SDK, cameras and the AWS tools.
//
//	ffmpeg --RTSP--> camera --RTSP--> kvsagent run --WebRTC--> Chromium with the official JS SDK
//	                                      |                        |
//	                                      `------ localkvs --------´
//
// It holds tests only. make e2e installs what they need. Everything they start listens on loopback, ends with the test that started
// it, and shows its log only when that test fails.
package e2e
