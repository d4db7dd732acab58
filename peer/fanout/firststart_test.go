package fanout

import (
	"context"
	"encoding/binary"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kvsagent/kvsagent/media"
	"github.com/pion/rtcp"
)

var pli = &rtcp.PictureLossIndication{}

// keys counts the key frames among the first bytes of packets: H.264 parameter sets come in one with each.
func keys(first []byte) (n int) {
	for _, b := range first {
		if b&0x1f == 24 {
			n++
		}
	}
	return n
}

// started is a sender that has sent the start of its picture: a key frame and two more pictures.
func started(t *testing.T, b *Broadcast) *Sender {
	t.Helper()
	track := NewTrack(media.H264)
	track.ssrc, track.rtxSSRC, track.twcc = 1, 2, 3
	s := NewSender(b, []*Track{track}, nil)
	s.Start(Near, "192.0.2.1", Main)
	st := b.streams[Main]
	st.Write(keyFrame(media.H264, 0))
	st.Write(deltaFrame(media.H264, period))
	t.Cleanup(b.Attach(s))
	st.Write(deltaFrame(media.H264, 2*period))
	if got := drain(t, s); keys(got) != 1 || len(got) != 4 {
		t.Fatalf("the start was %x", got)
	}
	return s
}

// feedbackFrom is transport-wide feedback, the first of which a remote sends: n packets have arrived, from first on.
func feedbackFrom(first, n uint16) []byte {
	fci := binary.BigEndian.AppendUint16(nil, first)
	fci = binary.BigEndian.AppendUint16(fci, n)
	fci = append(fci, 0, 0, 1, 0)                          // reference time, count
	fci = binary.BigEndian.AppendUint16(fci, 1<<13|n&0xff) // a run of small deltas
	return append(fci, make([]byte, n)...)
}

// TestEarlyKeyRequestRepeatsTheStartOnce: a remote that asks for a key frame while its first is thought to be under
// way did
// not see it. It gets the whole start again, but only once.
func TestEarlyKeyRequestRepeatsTheStartOnce(t *testing.T) {
	for _, kind := range []rtcp.Packet{pli, &rtcp.FullIntraRequest{}} {
		synctest.Test(t, func(t *testing.T) {
			b := hubs(false)
			s := started(t, b)
			s.onRTCP(kind, nil)
			if got := drain(t, s); keys(got) != 1 || len(got) != 4 {
				t.Errorf("after an early request %x was sent, want a key frame and the two pictures since", got)
			}
			// A hostile viewer goes on, up to the time from which on a cached key frame may be sent again.
			for range 200 {
				s.onRTCP(kind, nil)
				time.Sleep(2 * time.Millisecond)
			}
			if got := drain(t, s); len(got) != 0 {
				t.Errorf("more early requests brought %x", got)
			}
		})
	}
}

// TestARemoteThatMissesTheStartTwice is served as any other remote after repeatAfter, and need not wait for the next
// key frame of the camera.
func TestARemoteThatMissesTheStartTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := started(t, hubs(false))
		s.onRTCP(pli, nil)
		if got := keys(drain(t, s)); got != 1 {
			t.Errorf("after an early request %d key frames were sent, want 1", got)
		}
		for range 100 {
			time.Sleep(100 * time.Millisecond)
			s.onRTCP(pli, nil)
		}
		if got := keys(drain(t, s)); got != 1 {
			t.Errorf("after later requests %d key frames were sent, want 1", got)
		}
	})
}

// TestMissedStartIsSentAgainOnce: the first feedback of a remote tells at which packet its reception began.
func TestMissedStartIsSentAgainOnce(t *testing.T) {
	for _, tt := range []struct {
		name     string
		feedback []byte
		want     int // key frames
	}{
		{"all came", feedbackFrom(0, 4), 0},
		{"the first is missing", feedbackFrom(1, 2), 1},
		{"only the last came", feedbackFrom(2, 1), 1},
		{"packets that were never sent", feedbackFrom(4, 1), 0},
		{"nothing came", feedbackFrom(0, 0), 0},
		{"too short", []byte{0, 1}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := hubs(false)
				s := started(t, b)
				for range 3 {
					s.OnFeedback(tt.feedback)
					select {
					case <-s.news:
					default:
					}
					s.adapt(t.Context(), time.Now())
					if got := keys(drain(t, s)); got != tt.want {
						t.Errorf("%d key frames were sent, want %d", got, tt.want)
					}
					tt.want = 0
				}
			})
		})
	}
}

// TestMissedStartWakesTheReportLoop: who reads the socket notes what a feedback tells, and does not send.
func TestMissedStartWakesTheReportLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := started(t, hubs(false))
		for len(s.news) > 0 {
			<-s.news
		}
		s.OnFeedback(feedbackFrom(2, 1))
		if len(s.news) != 1 || len(s.queue) != 0 {
			t.Errorf("%d wakes, %d frames queued; want one wake", len(s.news), len(s.queue))
		}
	})
}

// TestSeenStartIsNotSentAgain: a remote with a slow path asks for a key frame because the first takes so long. Its
// feedback
// says that this one is arriving.
func TestSeenStartIsNotSentAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := started(t, hubs(false))
		s.OnFeedback(feedbackFrom(0, 1))
		s.onRTCP(pli, nil)
		if got := drain(t, s); len(got) != 0 {
			t.Errorf("a remote that sees the start was sent %x", got)
		}
	})
}

// TestAStartThatWaitsIsNotRepeated: a request that comes before the first packet has left asks for what is about to
// come.
// The one repetition is left for later.
func TestAStartThatWaitsIsNotRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := hubs(false)
		s := NewSender(b, []*Track{NewTrack(media.H264)}, nil)
		s.Start(Near, "192.0.2.1", Main)
		b.streams[Main].Write(keyFrame(media.H264, 0))
		defer b.Attach(s)()
		s.onRTCP(pli, nil)
		if got := keys(drain(t, s)); got != 1 {
			t.Errorf("the start was sent %d times", got)
		}
		s.onRTCP(pli, nil)
		if got := keys(drain(t, s)); got != 1 {
			t.Errorf("the start that was missed was sent again %d times", got)
		}
	})
}

// TestRefusedKeyRequestUsesUpNothing: a request is refused because the cached key frame was sent a moment ago. The
// next one
// is served as soon as that is no longer so, not keyEvery after the first.
func TestRefusedKeyRequestUsesUpNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := hubs(false)
		s := started(t, b) // which takes a second
		s.OnFeedback(feedbackFrom(0, 3))
		time.Sleep(repeatAfter - time.Second - time.Millisecond)
		s.onRTCP(pli, nil)
		if len(s.queue) != 0 {
			t.Errorf("%d frames were queued %v after the key frame", len(s.queue), repeatAfter-time.Millisecond)
		}
		time.Sleep(2 * time.Millisecond)
		s.onRTCP(pli, nil)
		if got := keys(drain(t, s)); got != 1 {
			t.Errorf("%d key frames were sent, want 1", got)
		}
	})
}

// TestViewersKeyRequestsAreThrottled: a viewer that asks all the time has one request a second served, also by a
// source that
// makes key frames.
func TestViewersKeyRequestsAreThrottled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := &willing{}
		b := NewBroadcast(media.NewHub(media.HubOptions{Source: source}), nil)
		s := started(t, b)
		s.OnFeedback(feedbackFrom(0, 3))
		for range 100 {
			s.onRTCP(pli, nil)
			time.Sleep(100 * time.Millisecond)
		}
		if got := source.asked.Load(); got != 10 {
			t.Errorf("the source was asked for %d key frames in 10 s, want 10", got)
		}
	})
}

// TestALaterKeyRequestIsForTheSource: a remote that has had its picture for a while, and tells nothing of what arrived,
// gets a new key frame and not its start again.
func TestALaterKeyRequestIsForTheSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := &willing{}
		s := started(t, NewBroadcast(media.NewHub(media.HubOptions{Source: source}), nil))
		time.Sleep(repeatAfter)
		s.onRTCP(pli, nil)
		if got, queued := source.asked.Load(), len(s.queue); got != 1 || queued != 0 {
			t.Errorf("the source was asked for %d key frames, and %d cached frames were queued; want 1 and 0", got,
				queued)
		}
	})
}

// TestKeyRequestThatTheHubRefuses: the source was asked just before, for another viewer. This request is refused, and
// its viewer need not wait for keyEvery.
func TestKeyRequestThatTheHubRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := &willing{}
		b := NewBroadcast(media.NewHub(media.HubOptions{Source: source}), nil)
		s := started(t, b)
		s.OnFeedback(feedbackFrom(0, 3))
		b.streams[Main].hub.RequestKeyFrame()
		s.onRTCP(pli, nil)
		time.Sleep(600 * time.Millisecond)
		s.onRTCP(pli, nil)
		if got := source.asked.Load(); got != 2 {
			t.Errorf("the source was asked for %d key frames, want 2", got)
		}
	})
}

// willing is a source that makes key frames.
type willing struct{ asked atomic.Int32 }

func (w *willing) Run(ctx context.Context, _ media.Sink) error { <-ctx.Done(); return nil }
func (w *willing) RequestKeyFrame()                            { w.asked.Add(1) }

// TestADatagramOfKeyRequests: hundreds of them are one.
func TestADatagramOfKeyRequests(t *testing.T) {
	packets := slices.Repeat([]rtcp.Packet{pli, &rtcp.ReceiverReport{}, &rtcp.FullIntraRequest{}}, 100)
	datagram, err := rtcp.Marshal(packets)
	if err != nil {
		t.Fatal(err)
	}
	s := NewSender(NewBroadcast(media.NewHub(media.HubOptions{}), nil), []*Track{NewTrack(media.H264)}, nil)
	s.OnReports(datagram, nil)
	if s.plis != 1 {
		t.Errorf("%d requests are heard, want 1", s.plis)
	}
}
