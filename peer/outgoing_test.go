package peer

import (
	"context"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kvsagent/kvsagent/media"
	"github.com/kvsagent/kvsagent/peer/fanout"
	"github.com/pion/interceptor"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

// sectionReports is a section's reports.
type sectionReports chan []byte

func (q sectionReports) Read(b []byte) (int, interceptor.Attributes, error) {
	x, ok := <-q
	if !ok {
		return 0, nil, io.EOF
	}
	return copy(b, x), nil, nil
}

func (q sectionReports) put(t *testing.T, p rtcp.Packet) {
	t.Helper()
	b, err := p.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	q <- b
}

// boundTo is what a track is bound to: H.264 under the SSRC 4711. It takes the packets of a picture, and then nothing
// until it is let go.
type boundTo struct {
	webrtc.TrackLocalContext
	let chan struct{}

	mu      sync.Mutex // guards the fields below
	numbers []uint16   // of the packets that came
	full    bool       // it takes nothing more
	waiting int        // packets
}

func (b *boundTo) CodecParameters() []webrtc.RTPCodecParameters {
	return []webrtc.RTPCodecParameters{{RTPCodecCapability: webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeH264,
		ClockRate: 90000}, PayloadType: 96}}
}
func (b *boundTo) HeaderExtensions() []webrtc.RTPHeaderExtensionParameter { return nil }
func (b *boundTo) SSRC() webrtc.SSRC                                      { return 4711 }
func (b *boundTo) WriteStream() webrtc.TrackLocalWriter                   { return b }
func (b *boundTo) Write([]byte) (int, error)                              { return 0, nil }

func (b *boundTo) WriteRTP(h *rtp.Header, payload []byte) (int, error) {
	b.mu.Lock()
	b.numbers = append(b.numbers, h.SequenceNumber)
	full := b.full
	if full {
		b.waiting++
	}
	b.mu.Unlock()
	if full {
		<-b.let
	}
	return len(payload), nil
}

// fill has it take nothing more, and gives the numbers that it has taken.
func (b *boundTo) fill() []uint16 {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.full = true
	return b.numbers
}

func (b *boundTo) stuck() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.waiting
}

// onePicture is a source of one key frame.
type onePicture struct{}

func (onePicture) Run(ctx context.Context, out media.Sink) error {
	out.Tracks([]media.Track{{Codec: media.H264}})
	out.Write(&media.Frame{Codec: media.H264, Key: true, Captured: time.Now(),
		Data: [][]byte{append([]byte{0x65}, make([]byte, 5000)...)}})
	<-ctx.Done()
	return nil
}

// lostBy is how many packets of a sender's picture the remote says it has lost.
func lostBy(x *attachedSender) uint64 { return x.Report()[0].Lost }

// TestListenWaitsForNoReader: the reports of a section go on to another sender while the one before is stuck in an
// answer to a NACK.
func TestListenWaitsForNoReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := media.NewHub(media.HubOptions{Source: onePicture{}})
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		defer running.Wait()
		defer cancel()
		running.Go(func() { hub.Run(ctx) })
		b := fanout.NewBroadcast(hub, nil)
		g := newOutgoing(Config{Broadcast: b}, nil, nil)
		w := &boundTo{let: make(chan struct{})}
		sender := func() *attachedSender {
			track := fanout.NewTrack(media.H264)
			if _, err := track.Bind(w); err != nil {
				t.Fatal(err)
			}
			return &attachedSender{Sender: fanout.NewSender(b, []*fanout.Track{track}, nil)}
		}
		before, after := sender(), sender()
		defer b.Attach(before.Sender)()
		defer b.Join(fanout.Main)()
		running.Go(func() { _ = before.Run(ctx, b.Promote) })
		time.Sleep(time.Second)
		sent := w.fill()
		if len(sent) < 4 {
			t.Fatalf("%d packets of the picture were sent", len(sent))
		}
		reports := make(sectionReports)
		g.listen(reports, before)
		reports.put(t, &rtcp.TransportLayerNack{SenderSSRC: 5, MediaSSRC: 4711,
			Nacks: rtcp.NackPairsFromSequenceNumbers(sent[1:3])})
		synctest.Wait()
		if n := w.stuck(); n != 1 {
			t.Fatalf("%d answers to the NACK are under way, want 1", n)
		}
		done := false
		go func() { g.listen(reports, after); done = true }()
		synctest.Wait()
		if !done {
			t.Error("the change waits for the reader")
		}
		close(w.let)
		reports.put(t, &rtcp.ReceiverReport{SSRC: 5, Reports: []rtcp.ReceptionReport{{SSRC: 4711, TotalLost: 7}}})
		synctest.Wait()
		if got := [2]uint64{lostBy(before), lostBy(after)}; got != [2]uint64{0, 7} {
			t.Errorf("lost by the report: before and after %v, want 0 and 7", got)
		}
		close(reports)
		g.work.Wait()
	})
}
