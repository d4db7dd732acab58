package e2e

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/bluenviron/gortsplib/v5/pkg/base"
	"github.com/pion/rtp"

	"github.com/kvsagent/kvsagent/media"
	"github.com/kvsagent/kvsagent/media/pipe"
	"github.com/kvsagent/kvsagent/media/rtsp"
)

// TestCameraFaults is everything that cameras do wrong, by the numbers of docs/sources.md, and what a viewer that stays sees of it. What
// takes hours is tested in a bubble: TestStandby and TestHubTriesAWrongPasswordSeldom of package media, TestClock of package rtsp.
func TestCameraFaults(t *testing.T) {
	good := encodeClip(t)
	var wg sync.WaitGroup // not t.Parallel: they wait most of their time, and all at once they take as long as the longest
	defer wg.Wait()
	for _, tt := range []struct {
		fault string
		test  func(*testing.T, clip)
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
				good = append([]*rtp.Packet{{Header: rtp.Header{Version: 2, PayloadType: 96, Timestamp: ts, Padding: true, PaddingSize: 200}}}, good...)
			}
			return good
		}, "rtsp stream is damaged")},
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
		}, "rtsp stream is damaged")},
		{"90 a picture of 1,000 slices", packets(func(n int, ts uint32, good []*rtp.Packet) []*rtp.Packet {
			if n%25 == 5 {
				good = nil
				for range 1000 {
					good = append(good, packet(ts, 0x41, 0x9a, 1))
				}
				good[999].Marker = true
			}
			return good
		}, "rtsp stream is damaged")},
		{"91 a picture each ten seconds", tenSeconds},
		{"91 1,000 pictures a second", thousand},
		{"91 ten times the bits", tenfold},
		{"92 B-frames", refused("set the camera's H.264 profile to Baseline", "-profile:v", "main", "-bf", "1", "-b_strategy", "0", "-sc_threshold", "0")},
		{"92 a profile that browsers refuse", refused("set the camera's H.264 profile to Baseline", "-profile:v", "high422", "-pix_fmt", "yuv422p")},
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

// Viewers stay; the status says so after three seconds; nobody restarts anything.
func standsStill(t *testing.T, good clip) {
	cam := newFakeCamera(t, good, nil)
	a := cam.watch(t, nil)
	a.sees(t, 10, 10*time.Second)
	cam.set(func(s *switches) { s.Silent = true })
	began := time.Now()
	a.state(t, 5*time.Second, media.Stalled)
	if d := time.Since(began); d < 2900*time.Millisecond {
		t.Errorf("stalled after %v already", d)
	}
	cam.set(func(s *switches) { s.Silent = false })
	a.sees(t, 25, 4*time.Second)
	a.steady(t)
	if r := a.hub.Report(); r.State != media.Running || r.Restarts != 0 || cam.sessions() != 1 {
		t.Errorf("%s, %d restarts, %d sessions", r.State, r.Restarts, cam.sessions())
	}
}

// After ten seconds the source is started again, and then less and less often.
func standsStillForLong(t *testing.T, good clip) {
	cam := newFakeCamera(t, good, nil)
	a := cam.watch(t, nil)
	a.sees(t, 10, 10*time.Second)
	cam.set(func(s *switches) { s.Silent = true })
	began := time.Now()
	a.fails(t, 13*time.Second, "no frame for", "no video packet for")
	if d := time.Since(began); d < 9*time.Second {
		t.Errorf("given up after %v already", d)
	}
	eventually(t, 5*time.Second, "another session", func() (bool, any) { return cam.sessions() >= 2, cam.sessions() })
	cam.set(func(s *switches) { s.Silent = false })
	a.sees(t, 25, 4*time.Second)
	a.steady(t)
}

// Who stayed sees the picture within three seconds of the camera's answer, on one time line.
func restarts(t *testing.T, good clip) {
	cam := newFakeCamera(t, good, nil)
	a := cam.watch(t, nil)
	a.sees(t, 10, 10*time.Second)
	cam.off()
	a.fails(t, 5*time.Second, "connection refused")
	time.Sleep(8 * time.Second) // the time is the subject: a plain backoff would wait longer by now
	cam.on()
	a.sees(t, 1, 3*time.Second)
	a.sees(t, 25, 4*time.Second)
	a.steady(t)
}

// A connection that nothing comes through is given up after ten seconds.
func halfOpen(t *testing.T, good clip) {
	cam := newFakeCamera(t, good, nil)
	a := cam.watch(t, nil)
	a.sees(t, 10, 10*time.Second)
	cam.set(func(s *switches) { s.Hole = true })
	began := time.Now()
	a.fails(t, 14*time.Second, "no frame for", "no video packet for")
	a.sees(t, 10, 5*time.Second)
	if d := time.Since(began); d < 9*time.Second || d > 18*time.Second {
		t.Errorf("the picture is back after %v", d)
	}
	a.steady(t)
}

// One try, and the next one after half a minute: cameras lock accounts.
func wrongPassword(t *testing.T, good clip) {
	cam := newFakeCamera(t, good, func(c *fakeCamera) { c.User, c.Password = "admin", "open sesame" })
	a := cam.watch(t, func(o *rtsp.Options) { o.Username, o.Password = "admin", "wrong" })
	a.fails(t, 10*time.Second, `user or password refused (401) for user "admin"; hint: check username and password`)
	time.Sleep(5 * time.Second) // in which nothing may come
	cam.mu.Lock()
	defer cam.mu.Unlock()
	if cam.logins != 1 {
		t.Errorf("the password was tried %d times in five seconds", cam.logins)
	}
}

// endlessLogin: one retry for each challenge, not one after the other.
func endlessLogin(t *testing.T, _ clip) {
	var logins atomic.Int32
	url := answers(t, func(req *base.Request) string {
		if req.Header["Authorization"] != nil {
			logins.Add(1)
		}
		if req.Method == base.Options {
			return rtspOK
		}
		return challenge(logins.Load())
	})
	err := playOnce(t, url)
	if n := logins.Load(); n != 1 || err == nil || !strings.Contains(err.Error(), "user or password refused") || !isSlow(err) {
		t.Errorf("%d logins, %v", n, err)
	}
}

// staleChallenge: a login that was good and is asked for again costs a new session, and no half minute.
func staleChallenge(t *testing.T, _ clip) {
	url := answers(t, func(req *base.Request) string {
		switch {
		case req.Method == base.Options:
			return rtspOK
		case req.Header["Authorization"] == nil, req.Method == base.Setup:
			return challenge(int32(len(req.Method)))
		}
		const sdp = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=1\r\n"
		return fmt.Sprintf("RTSP/1.0 200 OK\r\nCSeq: CSEQ\r\nContent-Type: application/sdp\r\nContent-Length: %d\r\n\r\n%s", len(sdp), sdp)
	})
	if err := playOnce(t, url); err == nil || !strings.Contains(err.Error(), "has become stale") || isSlow(err) {
		t.Errorf("%v, to be tried seldom: %t", err, isSlow(err))
	}
}

const rtspOK = "RTSP/1.0 200 OK\r\nCSeq: CSEQ\r\n\r\n"

func challenge(n int32) string {
	return fmt.Sprintf("RTSP/1.0 401 Unauthorized\r\nCSeq: CSEQ\r\nWWW-Authenticate: Digest realm=\"x\", nonce=\"%08x\"\r\n\r\n", n)
}

// answers is a camera that says to each request what answer does, and gives its URL.
func answers(t *testing.T, answer func(*base.Request) string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer conn.Close()
				for r := bufio.NewReader(conn); ; {
					var req base.Request
					if req.Unmarshal(r) != nil {
						return
					}
					text := strings.ReplaceAll(answer(&req), "CSEQ", req.Header["CSeq"][0])
					if _, err := conn.Write([]byte(text)); err != nil {
						return
					}
				}
			})
		}
	})
	t.Cleanup(func() { l.Close(); wg.Wait() })
	return "rtsp://admin:sesame@" + l.Addr().String() + "/main"
}

// playOnce is one run of a source that fails.
func playOnce(t *testing.T, url string) error {
	t.Helper()
	src, err := rtsp.New(rtsp.Options{URL: url, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	return src.Run(ctx, &audience{})
}

func isSlow(err error) bool {
	var s interface{ Slow() bool }
	return errors.As(err, &s) && s.Slow()
}

// anotherSize: viewers go on with the new parameter sets in band.
func anotherSize(t *testing.T, good clip) {
	cam := newFakeCamera(t, good, nil)
	a := cam.watch(t, nil)
	a.sees(t, 10, 10*time.Second)
	cam.off()
	cam.mu.Lock()
	cam.clip = encodeClip(t, "-s", "160x120")
	cam.mu.Unlock()
	cam.on()
	a.sees(t, 25, 6*time.Second)
	a.newSize(t, cam.clip)
}

// newSize checks that the last key frame is of a clip of 160x120.
func (a *audience) newSize(t *testing.T, c clip) {
	t.Helper()
	a.steady(t)
	if w, h := a.size(); w != 160 || h != 120 {
		t.Errorf("announced %dx%d", w, h)
	}
	a.begins(t, c)
}

// begins checks that the last key frame begins with the parameter sets of a clip.
func (a *audience) begins(t *testing.T, c clip) {
	t.Helper()
	sps, pps := c.sets()
	seen := a.of(media.H264)
	for i := len(seen) - 1; i >= 0; i-- {
		if f := seen[i]; f.key {
			if len(f.units) < 3 || !bytes.HasPrefix(sps, f.units[0]) || !bytes.HasPrefix(pps, f.units[1]) {
				t.Errorf("the last key frame begins with %x", f.units)
			}
			return
		}
	}
	t.Error("no key frame")
}

// anotherCodec: a viewer that knows both goes on in its session, with another payload type. In the binary.
func anotherCodec(t *testing.T, _ clip) {
	service := startKVS(t)
	turn := filepath.Join(t.TempDir(), "second")
	script := writeFile(t, "camera.sh", fmt.Sprintf(`
bars="ffmpeg -nostdin -v error -re -f lavfi -i smptebars=size=320x180:rate=15 -pix_fmt yuv420p -g 15"
if [ -e %[1]s ]; then exec $bars -c:v libvpx -deadline realtime -cpu-used 8 -f ivf -flush_packets 1 -; fi
exec $bars -c:v libx264 -preset ultrafast -tune zerolatency -f h264 -
`, turn))
	agent := startAgent(t, environment(keys...), service.URL, "", fmt.Sprintf(`
sources: {gate: {url: "exec:sh %s"}}
channels: {changing: {source: gate, create: true}}
`, script))
	agent.connected(t, "changing")
	view := start(t, environment(keys...), binary, "view", "changing", "--endpoint", service.URL, "--duration", "25s", "-o", "json")
	eventually(t, 20*time.Second, "a viewer has pictures", func() (bool, any) {
		c := agent.channel(t, "changing")
		return len(c.Peers) == 1 && len(c.Peers[0].Sending) > 0 && c.Peers[0].Sending[0].Frames > 10, c.Peers
	})
	if err := os.WriteFile(turn, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	agent.child(t, "ffmpeg", syscall.SIGKILL)
	eventually(t, 15*time.Second, "VP8 in the same session", func() (bool, any) {
		c := agent.channel(t, "changing")
		if len(c.Peers) != 1 || len(c.Ended) != 0 {
			t.Fatalf("%d sessions, ended %+v", len(c.Peers), c.Ended)
		}
		for _, track := range c.Peers[0].Sending {
			if track.Codec == "VP8" && track.Frames > 10 {
				return true, nil
			}
		}
		return false, c.Peers[0].Sending
	})
	view.stop()
}

// child sends a signal to the processes that the agent has started, by their name.
func (a *agent) child(t *testing.T, name string, s syscall.Signal) {
	t.Helper()
	for _, pid := range children(t, a.cmd.Process.Pid) {
		if comm, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid)); strings.TrimSpace(string(comm)) == name {
			_ = syscall.Kill(pid, s)
		}
	}
}

// children are the processes that a process has started, by all its threads.
func children(t *testing.T, pid int) (pids []int) {
	t.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		text, _ := os.ReadFile(f) // a thread may have ended
		for _, field := range strings.Fields(string(text)) {
			n, err := strconv.Atoi(field)
			if err != nil {
				t.Fatal(err)
			}
			pids = append(pids, n)
		}
	}
	return pids
}

func anotherSizeInMidStream(t *testing.T, good clip) {
	cam := newFakeCamera(t, good, nil)
	a := cam.watch(t, nil)
	a.sees(t, 10, 10*time.Second)
	small := encodeClip(t, "-s", "160x120")
	cam.set(func(s *switches) { s.Clip = small })
	eventually(t, 5*time.Second, "the new size", func() (bool, any) { w, h := a.size(); return w == 160 && h == 120, w })
	a.sees(t, 5, 5*time.Second)
	a.newSize(t, small)
	if cam.sessions() != 1 {
		t.Errorf("%d sessions", cam.sessions())
	}
}

func setsInBand(t *testing.T, good clip) {
	a := newFakeCamera(t, good, func(c *fakeCamera) { c.bare = true }).watch(t, nil)
	a.sees(t, 30, 10*time.Second)
	a.begins(t, good)
}

// setsInSDP: what is not in the stream is put before its key frames.
func setsInSDP(t *testing.T, good clip) {
	cam := newFakeCamera(t, good, nil)
	cam.set(func(s *switches) { s.Clip = good.without(7, 8) })
	a := cam.watch(t, nil)
	a.sees(t, 30, 10*time.Second)
	a.begins(t, good)
}

// noKeyFrame: the operator is told after ten seconds, and what to do.
func noKeyFrame(t *testing.T, good clip) {
	cam := newFakeCamera(t, good, nil)
	cam.set(func(s *switches) { s.Clip = good[1:25] })
	a := cam.watch(t, nil)
	eventually(t, 13*time.Second, "a note", func() (bool, any) {
		r := a.hub.Report()
		return len(r.Notes) == 1 && strings.Contains(r.Notes[0], "no key frame for 10s; hint: set the camera's key frame (I-frame) interval"), r
	})
	a.fails(t, 8*time.Second, "no usable key frame for 15s; hint: set the camera's key frame (I-frame) interval")
}

// oneKeyFrame: who comes later sees what has come since, from the cache.
func oneKeyFrame(t *testing.T, good clip) {
	cam := newFakeCamera(t, good, nil)
	a := cam.watch(t, nil)
	a.sees(t, 30, 10*time.Second)
	endless := good[1:25]
	cam.set(func(s *switches) { s.Clip = endless })
	a.sees(t, 50, 10*time.Second)
	late := &audience{}
	defer a.hub.Subscribe(late)()
	if seen := late.of(media.H264); len(seen) < 50 || !seen[0].key {
		t.Errorf("a newcomer sees %d pictures at once", len(seen))
	}
}

// clock is a camera whose RTP times are those of at.
func clock(at func(n int) uint32) func(*testing.T, clip) {
	return func(t *testing.T, good clip) {
		cam := newFakeCamera(t, good, nil)
		cam.set(func(s *switches) { s.Clock = at })
		a := cam.watch(t, nil)
		a.sees(t, 110, 15*time.Second)
		a.steady(t)
		if r := a.hub.Report(); r.Restarts != 0 {
			t.Errorf("%d restarts", r.Restarts)
		}
	}
}

// packets is a camera that sends what change makes of the packets of each picture. says is what the log has to say.
func packets(change func(n int, ts uint32, good []*rtp.Packet) []*rtp.Packet, says string) func(*testing.T, clip) {
	return func(t *testing.T, good clip) {
		cam := newFakeCamera(t, good, nil)
		cam.set(func(s *switches) { s.Packets = change })
		a := cam.watch(t, nil)
		a.sees(t, 60, 15*time.Second)
		a.steady(t)
		if r := a.hub.Report(); r.Restarts != 0 || r.State != media.Running {
			t.Errorf("%s, %d restarts", r.State, r.Restarts)
		}
		if log := a.log.String(); !strings.Contains(log, says) || says == "" && strings.Contains(log, "WARN") || strings.Count(log, "damaged") > 2 {
			t.Errorf("the log says %q, want %q, and not often", log, says)
		}
		for _, f := range a.of(media.H264) {
			if f.bytes > 1<<20 {
				t.Errorf("a picture of %d bytes", f.bytes)
			}
		}
	}
}

func packet(ts uint32, payload ...byte) *rtp.Packet {
	return &rtp.Packet{Header: rtp.Header{Version: 2, PayloadType: 96, Timestamp: ts}, Payload: payload}
}

// fragments is a NAL unit of supplemental information (type 6) in packets (FU-A, RFC 6184 section 5.8).
func fragments(ts uint32, size int) (all []*rtp.Packet) {
	for at := 0; at < size; at += 1200 {
		head := byte(6)
		if at == 0 {
			head |= 0x80
		}
		if at+1200 >= size {
			head |= 0x40
		}
		all = append(all, packet(ts, append([]byte{0x1c, head}, bytes.Repeat([]byte{0x55}, 1200)...)...))
	}
	return all
}

func sequenceJumps(t *testing.T, good clip) {
	cam := newFakeCamera(t, good, nil)
	a := cam.watch(t, nil)
	a.sees(t, 30, 10*time.Second)
	cam.set(func(s *switches) { s.Skip = 1000 })
	a.sees(t, 60, 10*time.Second)
	a.steady(t)
	if log := a.log.String(); !strings.Contains(log, "1000 packets lost") {
		t.Errorf("the log says %s", log)
	}
}

func anotherSSRC(t *testing.T, good clip) {
	cam := newFakeCamera(t, good, nil)
	a := cam.watch(t, nil)
	a.sees(t, 30, 10*time.Second)
	cam.set(func(s *switches) { s.SSRC = 1 })
	a.sees(t, 60, 10*time.Second)
	a.steady(t)
}

// tenSeconds: a source that is slow by itself is no source that stands still.
func tenSeconds(t *testing.T, _ clip) {
	cam := newFakeCamera(t, encodeClip(t, "-g", "1"), nil)
	cam.set(func(s *switches) { s.Every = 10 * time.Second })
	a := cam.watch(t, nil)
	a.sees(t, 4, 45*time.Second)
	a.steady(t)
	if r := a.hub.Report(); r.Restarts != 0 || cam.sessions() != 1 || r.State != media.Running {
		t.Errorf("%s, %d restarts, %d sessions", r.State, r.Restarts, cam.sessions())
	}
}

func thousand(t *testing.T, good clip) {
	cam := newFakeCamera(t, good, nil)
	cam.set(func(s *switches) { s.Every = time.Millisecond })
	a := cam.watch(t, nil)
	a.sees(t, 3000, 20*time.Second)
	a.steady(t)
}

func tenfold(t *testing.T, good clip) {
	cam := newFakeCamera(t, good, nil)
	a := cam.watch(t, nil)
	a.sees(t, 25, 10*time.Second)
	large := encodeClip(t, "-vf", "noise=alls=60:allf=t", "-qp", "20")
	cam.set(func(s *switches) { s.Clip = large })
	a.sees(t, 60, 10*time.Second)
	a.steady(t)
	seen := a.of(media.H264)
	if before, after := seen[10].bytes, seen[len(seen)-1].bytes; after < 3*before {
		t.Errorf("pictures of %d and %d bytes", before, after)
	}
	if r := a.hub.Report(); r.Restarts != 0 {
		t.Errorf("%d restarts", r.Restarts)
	}
}

// refused is a stream that nobody could show: the report says what to set.
func refused(hint string, args ...string) func(*testing.T, clip) {
	return func(t *testing.T, _ clip) {
		cam := newFakeCamera(t, encodeClip(t, args...), func(c *fakeCamera) { c.bare = true })
		// In a clip with one B-frame between two others the pictures come as I P B P B.
		cam.set(func(s *switches) {
			s.Clock = func(n int) uint32 {
				switch {
				case n%25 == 0:
					return uint32(n) * 3600
				case n%25%2 == 1:
					return uint32(n+1) * 3600
				}
				return uint32(n-1) * 3600
			}
		})
		a := cam.watch(t, nil)
		a.fails(t, 10*time.Second, hint)
		if seen := a.of(media.H264); len(seen) > 3 {
			t.Errorf("%d pictures were shown", len(seen))
		}
	}
}

// lateSound: the picture does not wait for it, and is in step with it.
func lateSound(t *testing.T, good clip) {
	cam := newFakeCamera(t, good, func(c *fakeCamera) { c.sound = true })
	cam.set(func(s *switches) { s.Mute = true })
	a := cam.watch(t, nil)
	a.sees(t, 40, 5*time.Second)
	if n := len(a.of(media.PCMU)); n != 0 {
		t.Errorf("%d packets of sound", n)
	}
	cam.set(func(s *switches) { s.Mute = false })
	a.sees(t, 50, 5*time.Second)
	a.steady(t)
	sound, picture := a.of(media.PCMU), a.of(media.H264)
	if len(sound) < 70 {
		t.Fatalf("%d packets of sound in two seconds", len(sound))
	}
	if d := sound[len(sound)-1].pts - picture[len(picture)-1].pts; d < -700*time.Millisecond || d > 700*time.Millisecond {
		t.Errorf("the sound is %v before the picture", d)
	}
}

// commandCamera watches what a shell script writes, as a camera of this host is watched.
func commandCamera(t *testing.T, script string) *audience {
	t.Helper()
	a := &audience{}
	src, err := pipe.New(pipe.Options{Command: pipe.Line("sh", "-c", script), Name: "camera", Stall: 3 * time.Second, Log: slog.New(slog.NewTextHandler(&a.log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	a.run(t, src)
	return a
}

// stream is a clip as a file, as encoders write it.
func (c clip) stream(t *testing.T) string {
	t.Helper()
	var b bytes.Buffer
	for _, au := range c {
		for _, nal := range au {
			b.Write(append([]byte{0, 0, 0, 1}, nal...))
		}
	}
	return writeFile(t, "clip.h264", b.String())
}

// replugged: by its name under /dev/v4l/by-id a camera is found on whatever port it comes back.
func replugged(t *testing.T, good clip) {
	device, file := filepath.Join(t.TempDir(), "by-id"), good.stream(t)
	if err := os.Symlink(file, device); err != nil {
		t.Fatal(err)
	}
	a := commandCamera(t, "while cat "+device+"; do :; done")
	a.sees(t, 30, 10*time.Second)
	if err := os.Remove(device); err != nil {
		t.Fatal(err)
	}
	a.fails(t, 10*time.Second, "No such file or directory")
	if err := os.Symlink(good.stream(t), device); err != nil {
		t.Fatal(err)
	}
	a.sees(t, 30, 10*time.Second)
	a.steady(t)
}

// lateDriver: the classes of devices that systemd is told of are there from boot on. What happens when they are not is in TestLateDriver
// of package pipe and TestRestartForALateDriver of package agent.
func lateDriver(t *testing.T, _ clip) {
	text, err := os.ReadFile("../systemd/kvsagent.modules")
	if err != nil {
		t.Fatal(err)
	}
	for _, module := range []string{"\nvideodev\n", "\nsnd\n"} {
		if !strings.Contains(string(text), module) {
			t.Errorf("kvsagent.modules has no %q", module)
		}
	}
}

// busy: a device that is busy is opened again, with the hint; one that hangs is noticed after three seconds.
func busy(t *testing.T, good clip) {
	count := filepath.Join(t.TempDir(), "count")
	a := commandCamera(t, `echo >>`+count+`
case $(wc -l <`+count+`) in
1|2) echo "/dev/video0: Device or resource busy" >&2; exit 1;;
*) cat `+good.stream(t)+`; exec sleep 1000;;
esac`)
	a.fails(t, 5*time.Second, "another program uses the device; fuser -v /dev/video* names it")
	a.sees(t, 30, 10*time.Second)
	a.fails(t, 10*time.Second, "no picture for 3s; hint: the device hangs")
	a.sees(t, 30, 10*time.Second)
	a.steady(t)
}

// child is what happens to an encoder: the picture is back within some time.
func child(s syscall.Signal, within time.Duration) func(*testing.T, clip) {
	return func(t *testing.T, good clip) {
		pid := filepath.Join(t.TempDir(), "pid")
		a := commandCamera(t, "echo $$ >"+pid+"; while cat "+good.stream(t)+"; do :; done")
		a.sees(t, 30, 10*time.Second)
		text, err := os.ReadFile(pid)
		if err != nil {
			t.Fatal(err)
		}
		n, err := strconv.Atoi(strings.TrimSpace(string(text)))
		if err != nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(-n, s); err != nil { // with what it has started
			t.Fatal(err)
		}
		a.fails(t, within, "")
		a.sees(t, 30, 10*time.Second)
		a.steady(t)
		if err := syscall.Kill(n, 0); !errors.Is(err, syscall.ESRCH) {
			t.Errorf("the old child: %v", err)
		}
	}
}

// flood: the log has a few lines of it, and the picture goes on.
func flood(t *testing.T, good clip) {
	a := commandCamera(t, "(yes camera is unhappy >&2) & while cat "+good.stream(t)+"; do :; done")
	a.sees(t, 75, 15*time.Second)
	if n := len(a.log.lines("camera is unhappy")); n == 0 || n > 20 {
		t.Errorf("%d lines of the log are the command's", n)
	}
	a.steady(t)
}
