package peer

import (
	"context"
	"encoding/binary"
	"testing"
	"time"

	"github.com/kvsagent/kvsagent/media"
	"github.com/kvsagent/kvsagent/peer/fanout"
)

// large is a camera whose key frames, one a second, take many packets.
type large struct{}

const period = 40 * time.Millisecond

func (large) Run(ctx context.Context, out media.Sink) error {
	out.Tracks([]media.Track{{Codec: media.H264}})
	tick := time.NewTicker(period)
	defer tick.Stop()
	for n := 0; ; n++ {
		f := deltaFrame(time.Duration(n) * period)
		if n%25 == 0 {
			f = keyFrame(media.H264, f.PTS)
			f.Data[len(f.Data)-1] = append([]byte{0x65}, make([]byte, 40_000)...)
		}
		binary.BigEndian.PutUint32(f.Data[len(f.Data)-1][1:], uint32(n))
		out.Write(f)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// startLasts is how long our viewer waits for its first key frame before it asks, as peer/internal/receive has it.
const startLasts = 200 * time.Millisecond

// TestOurViewerAsksForNothingThatIsUnderWay: a viewer of ours does not ask for a key frame while its first one comes
// in, or it gets the start twice.
func TestOurViewerAsksForNothingThatIsUnderWay(t *testing.T) {
	masters := loopback(t)
	b := running(t, large{})
	leave := b.Join(fanout.Main)
	defer leave()
	for range 5 {
		s := watch(t, masters, loopback(t), b, nil, nil)
		for until := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
			if r := s.viewer.Report().Receiving; len(r) > 0 && r[0].Frames >= 10 {
				break
			}
			if time.Now().After(until) {
				t.Fatal("no pictures")
			}
		}
		// On a machine so busy that the first key frame takes longer than our viewer waits, it does ask.
		stages := s.viewer.Report().Stages
		whole := stages.Frame - stages.Connected
		if n := s.master.Report().Sending[0].KeysAsked; n != 0 && whole < startLasts {
			t.Errorf("%d key frames were asked for, and the first was whole after %v", n, whole)
		}
		s.stop()
	}
}
