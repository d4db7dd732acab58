// Package rig starts, watches and ends what the end-to-end tests are made of, so that a test says only what it
// is about:
//
//	service := rig.StartKVS(t)                                         // kvsagent localkvs, in a process of its own
//	camera := rig.StartCamera(t, "127.0.0.1:0", "", "", rig.OpusAudio) // ffmpeg behind an RTSP server
//	agent := rig.StartAgent(t, rig.Environment(rig.Keys...), service.URL, "", config)
//	page := rig.SDK{ARN: agent.Connected(t, "gate"), Endpoint: service.URL, ...}.Join(t, "offer")
//	page.ShowsBars(t, "#remote") // decoded, with the right colours in the right places
//
// What a function starts listens on loopback or in a network namespace, ends with the test that started it, and shows
// its log only when that test fails. Waits end: Eventually names what it waited for and what it saw instead.
//
// The binary is built once, by Main, and a browser is started at its first use. Films that ffmpeg makes are kept in
// the user's cache directory, under kvsagent-test, from one run to the next. Tests may be parallel when most of what
// they do is to wait; those that count pictures in a browser are not.
//
// The parts, by file:
//
//   - main: the binary under test. process, transcript: programs, and what they write. wait, files, ports, cache.
//   - localkvs, control, awscli, raw: the signaling service, and clients of it that are not ours.
//   - agent, view: the daemon and the command line viewer.
//   - browser, page, picture, sdk: Chromium and Firefox, driven by e2e/browser/drive.mjs; what a page shows; the
//     official SDK in it.
//   - caller, tally, plain: a viewer made of Pion alone, what it lost, and a master made of Pion alone to compare with.
//   - camera: colour bars from ffmpeg. fakecamera, fakeconn, clip: a camera with switches to misbehave. command:
//     ffmpeg as a source.
//   - live, reel, film, presented, figures, chart: a camera whose every picture has a number, and what a browser showed
//     of them, and when.
//   - audience: one that watches a source from inside the process.
//   - inside, internet, proxy, meter, link: namespaces with routers, NAT, TURN and proxies between hosts; a bad link on
//     loopback.
package rig
