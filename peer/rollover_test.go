package peer

import (
	"bytes"
	"context"
	"encoding/binary"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kvsagent/kvsagent/media"
	"github.com/pion/webrtc/v4"
)

// heavy is a camera of numbered pictures of 100 packets each, every fiftieth a key frame: 5,000 packets a second. Once
// light is set its pictures are small.
type heavy struct{ light *atomic.Bool }

func (h heavy) Run(ctx context.Context, out media.Sink) error {
	out.Tracks([]media.Track{{Codec: media.H264}})
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for n := uint32(0); ; n++ {
		pts := time.Duration(n) * 20 * time.Millisecond
		f := deltaFrame(pts)
		if n%50 == 0 {
			f = keyFrame(media.H264, pts)
		}
		last := len(f.Data) - 1
		if !h.light.Load() {
			f.Data[last] = append(f.Data[last], bytes.Repeat([]byte{7}, 118_000)...)
		}
		f.Data[last] = binary.BigEndian.AppendUint32(f.Data[last], n)
		out.Write(f)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// TestRelayAfterTheNumbersRolledOver moves a session to Pion's way, as ICE does with a relay, when the sequence numbers
// of its picture have begun their second lap: the viewer's Pion decrypts what our Pion encrypts from there on.
func TestRelayAfterTheNumbersRolledOver(t *testing.T) {
	var light atomic.Bool
	s := watch(t, loopback(t), loopback(t), running(t, heavy{&light}), nil, nil)
	s.got.waits(t, 1)
	for until := time.Now().Add(time.Minute); s.master.Report().Sending[0].Bytes < (1<<16+1000)*1200; {
		if time.Now().After(until) {
			t.Fatalf("%d bytes in a minute", s.master.Report().Sending[0].Bytes)
		}
		time.Sleep(20 * time.Millisecond)
	}
	r := s.master.current().route
	r.mu.Lock()
	r.selected = func() (*webrtc.ICECandidatePair, error) {
		return udpPair(webrtc.ICECandidateTypeRelay, first), nil
	}
	r.mu.Unlock()
	r.update()
	if s.master.Report().Direct {
		t.Fatal("media still goes around Pion")
	}
	light.Store(true) // a relay is not given 80 Mbit/s
	before, _ := s.got.seen()
	s.got.waits(t, before+60) // a key frame is among them
	if err := s.master.guard.Reason(); err != nil {
		t.Error(err)
	}
}
