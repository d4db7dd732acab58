package fanout

import (
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/kvsagent/kvsagent/media"
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

var (
	aReport = &rtcp.ReceiverReport{SSRC: 5, Reports: []rtcp.ReceptionReport{{SSRC: 4711, TotalLost: 7}}}
	aNACK   = &rtcp.TransportLayerNack{SenderSSRC: 5, MediaSSRC: 4711,
		Nacks: []rtcp.NackPair{{PacketID: 12, LostPackets: 1}}}
)

// reported is a sender for the reports of a track, and how many packets it has lost by those.
func reported(w *stuck) (*Sender, func() uint32) {
	track := NewTrack(media.H264)
	track.w, track.ssrc, track.pt, track.next = w, 4711, 96, 10
	return NewSender(nil, []*Track{track}, nil), func() uint32 {
		track.mu.Lock()
		defer track.mu.Unlock()
		return track.lost
	}
}

// readFor has a reader run for a sender. wait waits for the reader's end.
func readFor(s *Sender, reports reportQueue) (r *RTCPReader, wait func()) {
	r = &RTCPReader{}
	r.To.Store(s)
	var work sync.WaitGroup
	work.Go(func() { r.Run(reports) })
	return r, work.Wait
}

// TestAChangeOfSendersWaitsForNoReader: Run hands the reports on to another sender while the one before is stuck in an
// answer to a NACK.
func TestAChangeOfSendersWaitsForNoReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &stuck{let: make(chan struct{})}
		before, lostBefore := reported(w)
		after, lostAfter := reported(w)
		reports := make(reportQueue)
		p, err := (&packetiser{}).packetise(&media.Frame{Codec: media.H264, Key: true,
			Data: [][]byte{make([]byte, 5000)}})
		if err != nil {
			t.Fatal(err)
		}
		before.video.begin(whole(p))
		r, wait := readFor(before, reports)
		reports.put(t, aNACK)
		synctest.Wait()
		if w.wrote.Load() != 1 {
			t.Fatal("the answer to the NACK is not under way")
		}
		done := false
		go func() { r.To.Store(after); done = true }()
		synctest.Wait()
		if !done {
			t.Error("the change waits for the reader")
		}
		close(w.let)
		reports.put(t, aReport)
		synctest.Wait()
		if got := [2]uint32{lostBefore(), lostAfter()}; got != [2]uint32{0, 7} {
			t.Errorf("lost by the report: before and after %v, want 0 and 7", got)
		}
		close(reports)
		wait()
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
				s, lost := reported(nil)
				reports := make(reportQueue)
				_, wait := readFor(s, reports)
				reports <- tt.bad
				reports.put(t, aReport)
				synctest.Wait()
				if lost() != 7 {
					t.Errorf("%d packets lost by the report, want 7", lost())
				}
				close(reports)
				wait()
			})
		})
	}
}
