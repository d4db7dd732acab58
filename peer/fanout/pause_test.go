package fanout

import (
	"context"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kvsagent/kvsagent/media"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

// stamps keeps the RTP time of each picture.
type stamps struct {
	strict
	got []uint32
}

func (d *stamps) WriteRTP(h *rtp.Header, p []byte) (int, error) {
	d.mu.Lock()
	if len(d.got) == 0 || d.got[len(d.got)-1] != h.Timestamp {
		d.got = append(d.got, h.Timestamp)
	}
	d.mu.Unlock()
	return d.strict.WriteRTP(h, p)
}

func (d *stamps) pictures() []uint32 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]uint32(nil), d.got...)
}

// TestTimesAfterAPause: however long a pause was, whether the level has changed meanwhile, and when it is a viewer's
// first picture, the pictures after it are not stretched over the time that has passed.
func TestTimesAfterAPause(t *testing.T) {
	for name, o := range map[string]struct {
		age, pause      time.Duration
		atFirst, moving bool
	}{
		"1 s":                     {10 * time.Second, time.Second, false, false},
		"10 s, to another level":  {10 * time.Second, 10 * time.Second, false, true},
		"10 min":                  {10 * time.Second, 10 * time.Minute, false, false},
		"10 min, another level":   {10 * time.Second, 10 * time.Minute, false, true},
		"at first, of an old hub": {10 * time.Minute, 10 * time.Second, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { timesAfterAPause(t, o.age, o.pause, o.atFirst, o.moving) })
		})
	}
}

func timesAfterAPause(t *testing.T, age, pause time.Duration, atFirst, moving bool) {
	d, c := &stamps{}, newCamera(rand.New(rand.NewPCG(1, 1)))
	c.gop = [2]int{25, 25}
	track := NewTrack(media.H264)
	track.w, track.ssrc, track.pt = d, 1, 96
	s := NewSender(c.b, []*Track{track}, nil)
	ctx, cancel := context.WithCancel(t.Context())
	now := time.Duration(0)
	shoot := func(n time.Duration) {
		for end := now + n; now < end; now += period {
			c.shoot(Main, now)
			c.shoot(Sub, now)
			time.Sleep(period)
		}
	}
	shoot(age)
	s.Pause(webrtc.RTPCodecTypeVideo, atFirst)
	s.Start(Near, "", Main)
	detach, done := c.b.Attach(s), make(chan struct{})
	go func() { defer close(done); _ = s.Run(ctx, c.b.Promote) }()
	shoot(2 * time.Second)
	s.Pause(webrtc.RTPCodecTypeVideo, true)
	shoot(period) // what is under way
	before := len(d.pictures())
	if atFirst != (before == 0) {
		t.Errorf("%d pictures before the pause", before)
	}
	shoot(pause / 2)
	if moving {
		c.b.move(s, Sub)
	}
	shoot(pause / 2)
	if n := len(d.pictures()); n != before {
		t.Errorf("%d pictures while paused", n-before)
	}
	s.Pause(webrtc.RTPCodecTypeVideo, false)
	shoot(2 * time.Second)
	cancel()
	detach()
	<-done
	if d.err != nil {
		t.Error(d.err)
	}
	got := d.pictures()
	if len(got) < before+25 {
		t.Errorf("%d pictures in 2 s after the pause", len(got)-before)
	}
	for i := max(before, 1); i < len(got); i++ {
		step := time.Duration(int32(got[i]-got[i-1])) * time.Second / 90000
		if step <= 0 || i > before && step > time.Second {
			t.Fatalf("picture %d after the pause comes %v after the one before it", i-before, step)
		}
	}
}
