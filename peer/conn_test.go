package peer_test

import (
	"context"
	"errors"
	"image"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kvsagent/kvsagent/media"
	"github.com/kvsagent/kvsagent/media/testpattern"
	"github.com/kvsagent/kvsagent/peer"
	"github.com/kvsagent/kvsagent/peer/fanout"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// collector is a sink that keeps what it gets.
type collector struct {
	mu     sync.Mutex
	tracks []media.Track
	late   bool // not all tracks were known at first
	frames []*media.Frame
	got    chan struct{}
}

func newCollector() *collector { return &collector{got: make(chan struct{}, 1)} }

func (c *collector) Tracks(t []media.Track) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.tracks == nil && len(t) != 2 {
		c.late = true
	}
	c.tracks = t
}

func (c *collector) Write(f *media.Frame) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.frames = append(c.frames, f)
	select {
	case c.got <- struct{}{}:
	default:
	}
}

func (c *collector) count(codec media.Codec) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for _, f := range c.frames {
		if f.Codec == codec {
			n++
		}
	}
	return n
}

func (c *collector) wait(t *testing.T, codec media.Codec, n int) {
	t.Helper()
	timeout := time.After(20 * time.Second)
	for c.count(codec) < n {
		select {
		case <-c.got:
		case <-timeout:
			t.Fatalf("got %d frames of %s, want %d", c.count(codec), codec, n)
		}
	}
}

func engine(t *testing.T) *peer.Engine {
	t.Helper()
	e, err := peer.NewEngine(peer.EngineOptions{Loopback: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	return e
}

func pattern(t testing.TB) *fanout.Broadcast {
	t.Helper()
	src, err := testpattern.New(testpattern.Options{Size: image.Pt(320, 240), Rate: 15, GOP: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	hub := media.NewHub(media.HubOptions{Name: "pattern", Source: src})
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { hub.Run(ctx) })
	t.Cleanup(func() { cancel(); wg.Wait() })
	return fanout.NewBroadcast(hub, nil)
}

// pair runs two connections whose signals go to each other, changed by the given functions, until the test ends.
func pair(t *testing.T, a, b peer.Config, toB, toA func(peer.Signal) []peer.Signal) (*peer.Conn, *peer.Conn,
	func() (error, error)) {
	t.Helper()
	var ca, cb *peer.Conn
	var ready sync.WaitGroup
	ready.Add(1)
	a.Send = func(s peer.Signal) {
		ready.Wait()
		for _, s := range toB(s) {
			cb.Handle(s)
		}
	}
	b.Send = func(s peer.Signal) {
		ready.Wait()
		for _, s := range toA(s) {
			ca.Handle(s)
		}
	}
	var err error
	if ca, err = peer.New(a); err != nil {
		t.Fatal(err)
	}
	if cb, err = peer.New(b); err != nil {
		t.Fatal(err)
	}
	ready.Done()
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	var ea, eb error
	wg.Go(func() { ea = ca.Run(ctx) })
	wg.Go(func() { eb = cb.Run(ctx) })
	stop := sync.OnceFunc(func() { cancel(); wg.Wait() })
	t.Cleanup(stop)
	return ca, cb, func() (error, error) { stop(); return ea, eb }
}

func same(s peer.Signal) []peer.Signal { return []peer.Signal{s} }

func TestOfferAndAnswerCarryMedia(t *testing.T) {
	for _, tt := range []struct {
		name         string
		masterOffers bool
	}{
		{"viewer offers, master answers", false},
		{"master offers, viewer answers", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := newCollector()
			framed := make(chan struct{}, 2)
			master := peer.Config{Engine: engine(t), Broadcast: pattern(t), Offer: tt.masterOffers,
				OnFrame: func() { framed <- struct{}{} }}
			viewer := peer.Config{Engine: engine(t), Receive: true, Sink: got, Offer: !tt.masterOffers}
			m, v, stop := pair(t, master, viewer, same, same)
			got.wait(t, media.H264, 30)
			got.wait(t, media.Opus, 50)
			got.mu.Lock()
			if got.late {
				t.Error("the sink was first told of fewer tracks than came")
			}
			for _, f := range got.frames {
				if f.Codec.Video() {
					if !f.Key || len(f.Data) < 3 || f.Data[0][0]&0x1f != 7 || f.Data[1][0]&0x1f != 8 {
						t.Errorf("first video frame: key %v, %d units; want a key frame with SPS and PPS first", f.Key,
							len(f.Data))
					}
					break
				}
			}
			got.mu.Unlock()
			r := v.Report()
			if r.State != peer.Connected || len(r.Receiving) != 2 || r.Receiving[0].Lost != 0 || r.Local != "host" {
				t.Errorf("viewer report = %+v", r)
			}
			select {
			case <-framed:
			case <-time.After(20 * time.Second):
				t.Error("nobody was told of the first key frame")
			}
			if s := m.Report().Stages; s.Offer <= 0 || s.Answer < s.Offer || s.ICE < s.Offer || s.Connected < s.ICE ||
				s.Packet < s.Connected || s.Frame < s.Packet {
				t.Errorf("stages: %+v, want each after the one before", s)
			}
			if r := m.Report(); !r.Direct || r.Stages.Frame == 0 || r.Stages.Connected == 0 || len(r.Sending) != 2 ||
				r.Sending[0].Dropped != 0 {
				t.Errorf("master report = %+v", r)
			}
			if em, ev := stop(); em != nil || ev != nil {
				t.Errorf("Run = %v, %v, want nil, nil", em, ev)
			}
			if r := m.Report(); len(r.Sending) != 2 || r.Sending[0].Frames == 0 || r.Sending[1].Bytes == 0 {
				t.Errorf("after the end the report says that this was sent: %+v", r.Sending)
			}
			if n := len(framed); n != 0 {
				t.Errorf("told of the first key frame %d times more", n)
			}
		})
	}
}

func TestCandidatesBeforeTheOffer(t *testing.T) {
	got := newCollector()
	var mu sync.Mutex
	var offer peer.Signal
	var early int
	// The offer is held back until three candidates have gone before it.
	toMaster := func(s peer.Signal) []peer.Signal {
		mu.Lock()
		defer mu.Unlock()
		if _, ok := s.(peer.Offer); ok {
			offer = s
			return nil
		}
		if offer == nil {
			return []peer.Signal{s}
		}
		early++
		held := offer
		offer = nil
		return []peer.Signal{s, held}
	}
	pair(t, peer.Config{Engine: engine(t), Receive: true, Sink: got, Offer: true},
		peer.Config{Engine: engine(t), Broadcast: pattern(t)}, toMaster, same)
	got.wait(t, media.H264, 5)
	if early != 1 {
		t.Errorf("%d candidates went before the offer, want 1", early)
	}
}

func TestOfferThatIsNoSDP(t *testing.T) {
	c, err := peer.New(peer.Config{Engine: engine(t), Broadcast: pattern(t), Send: func(peer.Signal) {}})
	if err != nil {
		t.Fatal(err)
	}
	c.Handle(peer.Offer{SDP: "hello"})
	err = c.Run(context.Background())
	var refused *peer.RefusedError
	if !errors.As(err, &refused) || !strings.Contains(err.Error(), "not an sdp") {
		t.Errorf("Run = %v, want a RefusedError that says it is not an sdp", err)
	}
}

func TestRefusalNamesBothLists(t *testing.T) {
	offer := strings.Join([]string{
		"v=0", "o=- 1 1 IN IP4 127.0.0.1", "s=-", "t=0 0", "a=group:BUNDLE 0",
		"m=video 9 UDP/TLS/RTP/SAVPF 96", "c=IN IP4 0.0.0.0", "a=rtpmap:96 VP8/90000", "a=mid:0", "a=recvonly",
		"a=rtcp-mux",
		"a=ice-ufrag:abcd", "a=ice-pwd:abcdefghijklmnopqrstuvwx", "a=setup:actpass",
		"a=fingerprint:sha-256 " + strings.TrimSuffix(strings.Repeat("AB:", 32), ":"), "",
	}, "\r\n")
	var sent []peer.Signal
	c, err := peer.New(peer.Config{Engine: engine(t), Broadcast: pattern(t),
		Send: func(s peer.Signal) { sent = append(sent, s) }})
	if err != nil {
		t.Fatal(err)
	}
	c.Handle(peer.Offer{SDP: offer})
	err = c.Run(context.Background())
	if err == nil || !strings.Contains(err.Error(), "VP8") || !strings.Contains(err.Error(), "H264") {
		t.Errorf("Run = %v, want an error that names VP8 and H264", err)
	}
	if len(sent) != 1 {
		t.Fatalf("sent %d signals, want 1", len(sent))
	}
	answer, ok := sent[0].(peer.Answer)
	if !ok || !strings.Contains(answer.SDP, "m=video 0 ") || !strings.Contains(answer.SDP, "a=mid:0") {
		t.Errorf("sent %+v, want an answer that rejects the video section", sent[0])
	}
}

// TestUndeclaredSSRC: a master that names no SSRC, as GStreamer and libdatachannel do. Its packets are told apart by
// their payload types.
func TestUndeclaredSSRC(t *testing.T) {
	lines := regexp.MustCompile(`(?m)^a=(ssrc|ssrc-group|msid)[:-].*\r\n`)
	silent := func(s peer.Signal) []peer.Signal {
		switch d := s.(type) {
		case peer.Answer:
			return []peer.Signal{peer.Answer{SDP: lines.ReplaceAllString(d.SDP, "")}}
		case peer.Offer:
			return []peer.Signal{peer.Offer{SDP: lines.ReplaceAllString(d.SDP, "")}}
		}
		return []peer.Signal{s}
	}
	for name, masterOffers := range map[string]bool{"it answers": false, "it offers": true} {
		t.Run(name, func(t *testing.T) {
			got := newCollector()
			_, _, stop := pair(t, peer.Config{Engine: engine(t), Broadcast: pattern(t), Offer: masterOffers},
				peer.Config{Engine: engine(t), Receive: true, Sink: got, Offer: !masterOffers}, silent, same)
			got.wait(t, media.H264, 10)
			got.wait(t, media.Opus, 10)
			if a, b := stop(); a != nil || b != nil {
				t.Errorf("the sessions ended with %v and %v", a, b)
			}
		})
	}
}
