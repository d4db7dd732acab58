package fanout

import (
	"errors"
	"io"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/kvsagent/kvsagent/media"
	"github.com/kvsagent/kvsagent/peer"
	"github.com/kvsagent/kvsagent/peer/internal/transport"
	"github.com/pion/interceptor"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
)

// reportQueue is a section's reports. An element that is an error is what reading fails with once.
type reportQueue chan any

func (q reportQueue) Read(b []byte) (int, interceptor.Attributes, error) {
	switch x := (<-q).(type) {
	case error:
		return 0, nil, x
	case []byte:
		return copy(b, x), nil, nil
	}
	return 0, nil, io.EOF
}

func (q reportQueue) put(t *testing.T, p rtcp.Packet) {
	t.Helper()
	b, err := p.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	q <- b
}

// stuck is the writer of a track whose path takes nothing, until it is let go.
type stuck struct {
	wrote atomic.Int32
	let   chan struct{}
}

func (s *stuck) WriteRTP(*rtp.Header, []byte) (int, error) {
	s.wrote.Add(1)
	<-s.let
	return 0, nil
}

func (s *stuck) Write([]byte) (int, error) { return 0, nil }

// reported is a sender for the reports of a track, and how many packets it has lost by those.
func reported(w *stuck) (*peer.attachedSender, func() uint32) {
	track := NewTrack(media.H264)
	track.w, track.ssrc, track.pt, track.next = w, 4711, 96, 10
	x := &peer.attachedSender{Sender: NewSender(nil, []*Track{track}, nil)}
	return x, func() uint32 {
		track.mu.Lock()
		defer track.mu.Unlock()
		return track.lost
	}
}

// TestAChangeOfSendersWaitsForNoReader: Run hands the reports on to another sender while the one before is stuck in an answer to a NACK.
func TestAChangeOfSendersWaitsForNoReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &stuck{let: make(chan struct{})}
		before, lostBefore := reported(w)
		after, lostAfter := reported(w)
		g := peer.newOutgoing(peer.Config{}, nil, nil)
		reports := make(reportQueue)
		p, err := (&packetiser{}).packetise(&media.Frame{Codec: media.H264, Key: true, Data: [][]byte{make([]byte, 5000)}})
		if err != nil {
			t.Fatal(err)
		}
		before.video.begin(whole(p))
		g.listen(reports, before)
		reports.put(t, transport.aNACK)
		synctest.Wait()
		if w.wrote.Load() != 1 {
			t.Fatal("the answer to the NACK is not under way")
		}
		done := false
		go func() { g.listen(reports, after); done = true }()
		synctest.Wait()
		if !done {
			t.Error("the change waits for the reader")
		}
		close(w.let)
		reports.put(t, transport.aReport)
		synctest.Wait()
		if got := [2]uint32{lostBefore(), lostAfter()}; got != [2]uint32{0, 7} {
			t.Errorf("lost by the report: before and after %v, want 0 and 7", got)
		}
		close(reports)
		g.work.Wait()
	})
}

// TestABadReportIsSkipped: one packet that nobody understands does not make us deaf.
func TestABadReportIsSkipped(t *testing.T) {
	for _, tt := range []struct {
		name string
		bad  any
	}{
		{"cut short", []byte{0x81, 201, 0, 7, 0, 0, 0, 5}},
		{"not understood by an interceptor", errors.New("rtcp: packet too short")},
		{"too long", io.ErrShortBuffer},
		{"empty", []byte{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				x, lost := reported(nil)
				g := peer.newOutgoing(peer.Config{}, nil, nil)
				reports := make(reportQueue)
				g.listen(reports, x)
				reports <- tt.bad
				reports.put(t, transport.aReport)
				synctest.Wait()
				if lost() != 7 {
					t.Errorf("%d packets lost by the report, want 7", lost())
				}
				close(reports)
				g.work.Wait()
			})
		})
	}
}
