package e2e

import (
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/pion/rtp"

	"github.com/kvsagent/kvsagent/e2e/rig"
)

// TestCameraFaults is everything that cameras do wrong, by the numbers of docs/sources.md, and what a viewer that stays
// sees of it. What takes hours is tested in a bubble: TestStandby and TestHubTriesAWrongPasswordSeldom of package
// media, TestClock of package rtsp.
func TestCameraFaults(t *testing.T) {
	good := rig.EncodeClip(t)
	// Not t.Parallel: they wait most of their time, and all at once they take as long as the longest.
	var wg sync.WaitGroup
	defer wg.Wait()
	for _, tt := range []struct {
		fault string
		test  func(*testing.T, rig.Clip)
	}{
		{"82 stands still for 5 s", standsStill},
		{"82 stands still for longer", standsStillForLong},
		{"83 restarts", restarts},
		{"84 half open", halfOpen},
		{"85 wrong password", wrongPassword},
		{"85 asks for a login again and again", endlessLogin},
		{"85 stale challenge", staleChallenge},
		{"86 another size in the next session", anotherSize},
		{"86 another codec in the next session", anotherCodec},
		{"87 another size in mid stream", anotherSizeInMidStream},
		{"87 parameter sets in band only", setsInBand},
		{"87 parameter sets in the SDP only", setsInSDP},
		{"88 no key frame", noKeyFrame},
		{"88 no key frame but the first", oneKeyFrame},
		{"89 clock wraps", clock(func(n int) uint32 { return uint32(n)*3600 - 90000 })},
		{"89 clock jumps an hour ahead", clock(func(n int) uint32 { return uint32(n)*3600 + uint32(n/40)*3600*90000 })},
		{"89 clock jumps back", clock(func(n int) uint32 { return uint32(n)*3600 - uint32(n/40)*3600*90000 })},
		{"89 clock stands still", clock(func(int) uint32 { return 7 })},
		{"90 sequence jumps", sequenceJumps},
		{"90 another SSRC", anotherSSRC},
		{"90 padding alone", packets(func(n int, ts uint32, good []*rtp.Packet) []*rtp.Packet {
			if n%3 == 0 {
				good = append([]*rtp.Packet{{Header: rtp.Header{Version: 2, PayloadType: 96, Timestamp: ts,
					Padding: true, PaddingSize: 200}}}, good...)
			}
			return good
		}, "")},
		{"90 a NAL unit of 64 KB", packets(func(n int, ts uint32, good []*rtp.Packet) []*rtp.Packet {
			if n%10 == 5 {
				good = append(fragments(ts, 64<<10), good...)
			}
			return good
		}, "")},
		{"90 a NAL unit of nothing", packets(func(n int, ts uint32, good []*rtp.Packet) []*rtp.Packet {
			if n%10 == 5 { // a STAP-A with an empty unit (RFC 6184 section 5.7.1), and a packet of no bytes
				good = append([]*rtp.Packet{packet(ts, 0x18, 0, 0), packet(ts)}, good...)
			}
			return good
		}, "")},
		{"90 a picture of 1,000 slices", packets(func(n int, ts uint32, good []*rtp.Packet) []*rtp.Packet {
			if n%25 == 5 {
				good = []*rtp.Packet{packet(ts, 0x41, 0x9a, 1)}
				for range 999 {
					good = append(good, packet(ts, 0x41, 0x5a, 1)) // first_mb_in_slice is 1
				}
				good[999].Marker = true
			}
			return good
		}, "rtsp stream is damaged")},
		{"91 a picture each ten seconds", tenSeconds},
		{"91 1,000 pictures a second", thousand},
		{"91 ten times the bits", tenfold},
		{"92 B-frames", refused("set the camera's H.264 profile to Baseline", "-profile:v", "main", "-bf", "1",
			"-b_strategy", "0", "-sc_threshold", "0")},
		{"92 a profile that browsers refuse",
			refused("set the camera's H.264 profile to Baseline", "-profile:v", "high422", "-pix_fmt", "yuv422p")},
		{"93 no sound, and then some", lateSound},
		{"94 unplugged, and replugged as another device", replugged},
		{"95 driver not loaded", lateDriver},
		{"96 busy, and then hangs", busy},
		{"97 child is killed", child(syscall.SIGKILL, 5*time.Second)},
		{"97 child is stopped", child(syscall.SIGSTOP, 16*time.Second)},
		{"97 child floods the log", flood},
	} {
		wg.Go(func() { t.Run(tt.fault, func(t *testing.T) { tt.test(t, good) }) })
	}
}
