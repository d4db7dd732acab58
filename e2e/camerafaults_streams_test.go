package e2e

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pion/rtp"

	"github.com/kvsagent/kvsagent/e2e/rig"
	"github.com/kvsagent/kvsagent/media"
)

// anotherSize: viewers go on with the new parameter sets in band.
func anotherSize(t *testing.T, good rig.Clip) {
	cam := rig.NewFakeCamera(t, good, nil)
	a := cam.Watch(t, nil)
	a.Sees(t, 10, 10*time.Second)
	cam.Off()
	cam.Mu.Lock()
	cam.Clip = rig.EncodeClip(t, "-s", "160x120")
	cam.Mu.Unlock()
	cam.On()
	a.Sees(t, 25, 6*time.Second)
	newSize(t, a, cam.Clip)
}

// newSize checks that the last key frame is of a clip of 160x120.
func newSize(t *testing.T, a *rig.Audience, c rig.Clip) {
	t.Helper()
	a.Steady(t)
	if w, h := a.Size(); w != 160 || h != 120 {
		t.Errorf("announced %dx%d", w, h)
	}
	a.Begins(t, c)
}

// anotherCodec: a viewer that knows both goes on in its session, with another payload type. In the binary.
func anotherCodec(t *testing.T, _ rig.Clip) {
	service := rig.StartKVS(t)
	turn := filepath.Join(t.TempDir(), "second")
	script := rig.WriteFile(t, "camera.sh", fmt.Sprintf(`
bars="ffmpeg -nostdin -v error -re -f lavfi -i smptebars=size=320x180:rate=15 -pix_fmt yuv420p -g 15"
if [ -e %[1]s ]; then exec $bars -c:v libvpx -deadline realtime -cpu-used 8 -f ivf -flush_packets 1 -; fi
exec $bars -c:v libx264 -preset ultrafast -tune zerolatency -f h264 -
`, turn))
	agent := rig.StartAgent(t, rig.Environment(rig.Keys...), service.URL, "", fmt.Sprintf(`
sources: {gate: {url: "exec:sh %s"}}
channels: {changing: {source: gate, create: true}}
`, script))
	agent.Connected(t, "changing")
	view := rig.Start(t, rig.Environment(rig.Keys...), rig.Binary, "view", "changing", "--endpoint", service.URL,
		"--duration", "25s", "-o", "json")
	rig.Eventually(t, 20*time.Second, "a viewer has pictures", func() (bool, any) {
		c := agent.Channel(t, "changing")
		return len(c.Peers) == 1 && len(c.Peers[0].Sending) > 0 && c.Peers[0].Sending[0].Frames > 10, c.Peers
	})
	if err := os.WriteFile(turn, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	agent.SignalChildren(t, "ffmpeg", syscall.SIGKILL)
	rig.Eventually(t, 15*time.Second, "VP8 in the same session", func() (bool, any) {
		c := agent.Channel(t, "changing")
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
	view.Stop()
}

func anotherSizeInMidStream(t *testing.T, good rig.Clip) {
	cam := rig.NewFakeCamera(t, good, nil)
	a := cam.Watch(t, nil)
	a.Sees(t, 10, 10*time.Second)
	small := rig.EncodeClip(t, "-s", "160x120")
	cam.Set(func(s *rig.Switches) { s.Clip = small })
	rig.Eventually(t, 5*time.Second, "the new size",
		func() (bool, any) { w, h := a.Size(); return w == 160 && h == 120, w })
	a.Sees(t, 5, 5*time.Second)
	newSize(t, a, small)
	if cam.Sessions() != 1 {
		t.Errorf("%d sessions", cam.Sessions())
	}
}

func setsInBand(t *testing.T, good rig.Clip) {
	a := rig.NewFakeCamera(t, good, func(c *rig.FakeCamera) { c.Bare = true }).Watch(t, nil)
	a.Sees(t, 30, 10*time.Second)
	a.Begins(t, good)
}

// setsInSDP: what is not in the stream is put before its key frames.
func setsInSDP(t *testing.T, good rig.Clip) {
	cam := rig.NewFakeCamera(t, good, nil)
	cam.Set(func(s *rig.Switches) { s.Clip = good.Without(7, 8) })
	a := cam.Watch(t, nil)
	a.Sees(t, 30, 10*time.Second)
	a.Begins(t, good)
}

// noKeyFrame: the operator is told after ten seconds, and what to do.
func noKeyFrame(t *testing.T, good rig.Clip) {
	cam := rig.NewFakeCamera(t, good, nil)
	cam.Set(func(s *rig.Switches) { s.Clip = good[1:25] })
	a := cam.Watch(t, nil)
	rig.Eventually(t, 13*time.Second, "a note", func() (bool, any) {
		r := a.Hub.Report()
		return len(r.Notes) == 1 &&
			strings.Contains(r.Notes[0], "no key frame for 10s; hint: set the camera's key frame (I-frame) interval"), r
	})
	a.Fails(t, 8*time.Second, "no usable key frame for 15s; hint: set the camera's key frame (I-frame) interval")
}

// oneKeyFrame: who comes later sees what has come since, from the cache.
func oneKeyFrame(t *testing.T, good rig.Clip) {
	cam := rig.NewFakeCamera(t, good, nil)
	a := cam.Watch(t, nil)
	a.Sees(t, 30, 10*time.Second)
	endless := good[1:25]
	cam.Set(func(s *rig.Switches) { s.Clip = endless })
	a.Sees(t, 50, 10*time.Second)
	late := &rig.Audience{}
	defer a.Hub.Subscribe(late)()
	if seen := late.Of(media.H264); len(seen) < 50 || !seen[0].Key {
		t.Errorf("a newcomer sees %d pictures at once", len(seen))
	}
}

// clock is a camera whose RTP times are those of at.
func clock(at func(n int) uint32) func(*testing.T, rig.Clip) {
	return func(t *testing.T, good rig.Clip) {
		cam := rig.NewFakeCamera(t, good, nil)
		cam.Set(func(s *rig.Switches) { s.Clock = at })
		a := cam.Watch(t, nil)
		a.Sees(t, 110, 15*time.Second)
		a.Steady(t)
		if r := a.Hub.Report(); r.Restarts != 0 {
			t.Errorf("%d restarts", r.Restarts)
		}
	}
}

// packets is a camera that sends what change makes of the packets of each picture. says is what the log has to say.
func packets(change func(n int, ts uint32, good []*rtp.Packet) []*rtp.Packet, says string) func(*testing.T, rig.Clip) {
	return func(t *testing.T, good rig.Clip) {
		cam := rig.NewFakeCamera(t, good, nil)
		cam.Set(func(s *rig.Switches) { s.Packets = change })
		a := cam.Watch(t, nil)
		a.Sees(t, 60, 15*time.Second)
		a.Steady(t)
		if r := a.Hub.Report(); r.Restarts != 0 || r.State != media.Running {
			t.Errorf("%s, %d restarts", r.State, r.Restarts)
		}
		if log := a.Log.String(); !strings.Contains(log, says) || says == "" && strings.Contains(log, "WARN") ||
			strings.Count(log, "damaged") > 2 {
			t.Errorf("the log says %q, want %q, and not often", log, says)
		}
		for _, f := range a.Of(media.H264) {
			if f.Bytes > 1<<20 {
				t.Errorf("a picture of %d bytes", f.Bytes)
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

func sequenceJumps(t *testing.T, good rig.Clip) {
	cam := rig.NewFakeCamera(t, good, nil)
	a := cam.Watch(t, nil)
	a.Sees(t, 30, 10*time.Second)
	cam.Set(func(s *rig.Switches) { s.Skip = 1000 })
	a.Sees(t, 60, 10*time.Second)
	a.Steady(t)
	if log := a.Log.String(); !strings.Contains(log, "1000 packets lost") {
		t.Errorf("the log says %s", log)
	}
}

func anotherSSRC(t *testing.T, good rig.Clip) {
	cam := rig.NewFakeCamera(t, good, nil)
	a := cam.Watch(t, nil)
	a.Sees(t, 30, 10*time.Second)
	cam.Set(func(s *rig.Switches) { s.SSRC = 1 })
	a.Sees(t, 60, 10*time.Second)
	a.Steady(t)
}

// tenSeconds: a source that is slow by itself is no source that stands still.
func tenSeconds(t *testing.T, _ rig.Clip) {
	cam := rig.NewFakeCamera(t, rig.EncodeClip(t, "-g", "1"), nil)
	cam.Set(func(s *rig.Switches) { s.Every = 10 * time.Second })
	a := cam.Watch(t, nil)
	a.Sees(t, 4, 45*time.Second)
	a.Steady(t)
	if r := a.Hub.Report(); r.Restarts != 0 || cam.Sessions() != 1 || r.State != media.Running {
		t.Errorf("%s, %d restarts, %d sessions", r.State, r.Restarts, cam.Sessions())
	}
}

func thousand(t *testing.T, good rig.Clip) {
	cam := rig.NewFakeCamera(t, good, nil)
	cam.Set(func(s *rig.Switches) { s.Every = time.Millisecond })
	a := cam.Watch(t, nil)
	a.Sees(t, 3000, 20*time.Second)
	a.Steady(t)
}

func tenfold(t *testing.T, good rig.Clip) {
	cam := rig.NewFakeCamera(t, good, nil)
	a := cam.Watch(t, nil)
	a.Sees(t, 25, 10*time.Second)
	large := rig.EncodeClip(t, "-vf", "noise=alls=60:allf=t", "-qp", "20")
	cam.Set(func(s *rig.Switches) { s.Clip = large })
	a.Sees(t, 60, 10*time.Second)
	a.Steady(t)
	seen := a.Of(media.H264)
	if before, after := seen[10].Bytes, seen[len(seen)-1].Bytes; after < 3*before {
		t.Errorf("pictures of %d and %d bytes", before, after)
	}
	if r := a.Hub.Report(); r.Restarts != 0 {
		t.Errorf("%d restarts", r.Restarts)
	}
}

// refused is a stream that nobody could show: the report says what to set.
func refused(hint string, args ...string) func(*testing.T, rig.Clip) {
	return func(t *testing.T, _ rig.Clip) {
		cam := rig.NewFakeCamera(t, rig.EncodeClip(t, args...), func(c *rig.FakeCamera) { c.Bare = true })
		// In a clip with one B-frame between two others the pictures come as I P B P B.
		cam.Set(func(s *rig.Switches) {
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
		a := cam.Watch(t, nil)
		a.Fails(t, 10*time.Second, hint)
		if seen := a.Of(media.H264); len(seen) > 3 {
			t.Errorf("%d pictures were shown", len(seen))
		}
	}
}

// lateSound: the picture does not wait for it, and is in step with it.
func lateSound(t *testing.T, good rig.Clip) {
	cam := rig.NewFakeCamera(t, good, func(c *rig.FakeCamera) { c.Sound = true })
	cam.Set(func(s *rig.Switches) { s.Mute = true })
	a := cam.Watch(t, nil)
	a.Sees(t, 40, 5*time.Second)
	if n := len(a.Of(media.PCMU)); n != 0 {
		t.Errorf("%d packets of sound", n)
	}
	cam.Set(func(s *rig.Switches) { s.Mute = false })
	a.Sees(t, 50, 5*time.Second)
	a.Steady(t)
	sound, picture := a.Of(media.PCMU), a.Of(media.H264)
	if len(sound) < 70 {
		t.Fatalf("%d packets of sound in two seconds", len(sound))
	}
	if d := sound[len(sound)-1].Pts - picture[len(picture)-1].Pts; d < -700*time.Millisecond ||
		d > 700*time.Millisecond {
		t.Errorf("the sound is %v before the picture", d)
	}
}
