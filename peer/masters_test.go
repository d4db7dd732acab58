package peer_test

import (
	"context"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kvsagent/kvsagent/peer"
)

// TestAnswersOfEveryMaster gives our viewer the answers that masters there are write: a C SDK one, an older one that
// would take what we do not send, Python's, whose candidates all stand in it, and one without mids. Payload types are
// those of our offer, as these masters do.
func TestAnswersOfEveryMaster(t *testing.T) {
	for _, master := range []string{"c-sdk", "c-sdk-sendrecv", "python-aiortc", "no-mids"} {
		t.Run(master, func(t *testing.T) {
			raw, err := os.ReadFile("testdata/answers/" + master + ".sdp")
			if err != nil {
				t.Fatal(err)
			}
			offers := make(chan string, 1)
			c, done, stop := viewerOf(t, offers)
			defer stop()
			offer := <-offers
			if !strings.Contains(offer, "a=rtpmap:96 H264/90000") ||
				!strings.Contains(offer, "a=rtpmap:111 opus/48000/2") {
				t.Fatalf("the golden answers name 96 for H264 and 111 for Opus, the offer does not:\n%s", offer)
			}
			if size := (len(offer)+2*strings.Count(offer, "\n")+30)*4/3 + 4; size > 10_000 {
				t.Errorf("the offer has %d characters on the wire, at most 10000 fit", size)
			}
			c.Handle(peer.Answer{SDP: strings.ReplaceAll(string(raw), "\n", "\r\n")})
			deadline := time.After(10 * time.Second)
			for c.Report().Stages.Answer == 0 {
				select {
				case err := <-done:
					t.Fatalf("the answer ended the connection: %v", err)
				case <-deadline:
					t.Fatal("the answer was not taken")
				case <-time.After(time.Millisecond):
				}
			}
			if r := c.Report(); len(r.Receiving) != 2 {
				t.Errorf("%d tracks are expected from this master, want 2: %+v", len(r.Receiving), r.Receiving)
			}
		})
	}
}

// viewerOf runs a viewer that makes an offer.
func viewerOf(t *testing.T, offers chan<- string) (c *peer.Conn, done <-chan error, stop func()) {
	t.Helper()
	c, err := peer.New(peer.Config{Engine: engine(t), Receive: true, Offer: true, Send: func(s peer.Signal) {
		if o, ok := s.(peer.Offer); ok {
			offers <- o.SDP
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { ended <- c.Run(ctx) })
	return c, ended, func() { cancel(); wg.Wait() }
}
