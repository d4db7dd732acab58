package agent_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kvsagent/kvsagent/agent"
	"github.com/kvsagent/kvsagent/peer"
	"github.com/kvsagent/kvsagent/signaling"
	"github.com/kvsagent/kvsagent/status"
)

const gate = "channels:\n  gate: {source: pattern, create: true}\n"

func TestMasterAnswersViewer(t *testing.T) {
	s := service(t)
	a, _ := start(t, parse(t, s, gate))
	v := join(t, s, "gate", "tablet").watch()
	v.plays(t, 20)
	p := session(t, a, "gate")
	if p.State != "connected" || p.Offerer != "them" || p.ClientID != "tablet" || p.Local == "" || p.Local == "relay" ||
		p.FirstFrame.Frame == 0 {
		t.Errorf("session = %+v", p)
	}
	for stage, seconds := range p.FirstFrame.All() {
		if h := a.Report().FirstFrames[stage]; h.Count != 1 || h.Sum != seconds {
			t.Errorf("first frames at %s: %+v, want the one that took %v s", stage, h, seconds)
		}
	}
	if n := len(a.Report().FirstFrames); n != 6 {
		t.Errorf("first frames in %d stages, want 6", n)
	}
	v.stop()
	eventually(t, "the session is over", func() bool { return len(channel(a, "gate").Peers) == 0 })
	if got := reasons(a, "gate"); got != peer.ErrEnded.Error() {
		t.Errorf("the session ended because %q, want %q", got, peer.ErrEnded)
	}
	if by := channel(a, "gate").EndedBy; len(by) != 1 || by["closed"] != 1 {
		t.Errorf("sessions ended by reason = %v, want one that was closed", by)
	}
}

func TestMasterOffers(t *testing.T) {
	s := service(t)
	a, _ := start(t, parse(t, s, "channels:\n  gate: {source: pattern, create: true, offer_to: tablet}\n"))
	tablet := join(t, s, "gate", "tablet")
	v := tablet.connect(peer.Config{}, nil)
	v.plays(t, 5)
	if p := session(t, a, "gate"); p.Offerer != "us" {
		t.Errorf("the offer came from %s, want us", p.Offerer)
	}
	v.stop()
	again := tablet.connect(peer.Config{SetupTimeout: patience}, nil) // the master comes back by itself
	again.plays(t, 5)
}

func TestTwoAgents(t *testing.T) {
	for _, tt := range []struct{ name, master, viewer string }{
		{"viewer offers", "", ""},
		{"master offers, viewer waits", ", offer_to: tablet", ", wait_for_offer: true"},
		{"both offer", ", offer_to: tablet", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := service(t)
			start(t, parse(t, s, "channels:\n  gate: {source: pattern, create: true"+tt.master+"}\n"))
			b, _ := start(t, parse(t, s, "channels:\n  gate: {role: viewer, client_id: tablet"+tt.viewer+"}\n"))
			eventually(t, "30 pictures have come", func() bool {
				for _, p := range channel(b, "gate").Peers {
					if len(p.Receiving) > 0 && p.Receiving[0].Frames >= 30 && p.Receiving[0].Lost == 0 {
						return true
					}
				}
				return false
			})
		})
	}
}

func TestReloadLeavesOthersAlone(t *testing.T) {
	s := service(t)
	a, reload := start(t, parse(t, s, gate+"  yard: {source: pattern, create: true}\n"))
	v := join(t, s, "gate", "tablet").watch()
	w := join(t, s, "yard", "tablet").watch()
	v.plays(t, 5)
	w.plays(t, 5)
	before := session(t, a, "gate")
	reload <- parse(t, s,
		gate+"  yard: {source: pattern, create: true, max_viewers: 3}\n  door: {source: pattern, create: true}\n")
	eventually(t, "the new channel is up", func() bool { return channel(a, "door").State == "connected" })
	if got := channel(a, "yard").MaxViewers; got != 3 {
		t.Errorf("max_viewers of the changed channel is %d, want 3", got)
	}
	w.plays(t, 15)
	v.plays(t, 15)
	after := session(t, a, "gate")
	if after.Session != before.Session || after.Sending[0].Frames <= before.Sending[0].Frames {
		t.Errorf("session %s became %s, %d frames sent became %d", before.Session, after.Session,
			before.Sending[0].Frames, after.Sending[0].Frames)
	}
	if r := v.conn.Report(); r.Receiving[0].Lost != 0 {
		t.Errorf("the viewer of the unchanged channel lost %d packets", r.Receiving[0].Lost)
	}
}

func TestConfigThatCannotBeServedChangesNothing(t *testing.T) {
	s := service(t)
	a, reload := start(t, parse(t, s, gate))
	v := join(t, s, "gate", "tablet").watch()
	v.plays(t, 5)
	bad := parse(t, s, gate)
	bad.AWS.CAFile = "/does/not/exist.pem"
	reload <- bad
	v.plays(t, 15)
	session(t, a, "gate")
}

func TestDuplicateOffer(t *testing.T) {
	s := service(t)
	a, _ := start(t, parse(t, s, gate))
	tablet := join(t, s, "gate", "tablet")
	var offer peer.Signal
	v := tablet.connect(peer.Config{Offer: true}, func(s peer.Signal) []peer.Signal {
		if _, ok := s.(peer.Offer); ok {
			offer = s
			return []peer.Signal{s, s}
		}
		return []peer.Signal{s}
	})
	v.plays(t, 5)
	before := session(t, a, "gate")
	tablet.send(pack(offer)) // again, much later
	v.plays(t, 15)
	if after := session(t, a, "gate"); after.Session != before.Session || len(channel(a, "gate").Ended) != 0 {
		t.Errorf("session %s became %s; ended: %s", before.Session, after.Session, reasons(a, "gate"))
	}
}

// TestReloadedPage: a page is reloaded and offers again under the same client ID, over a new connection.
func TestReloadedPage(t *testing.T) {
	s := service(t)
	a, _ := start(t, parse(t, s, gate))
	tablet := join(t, s, "gate", "tablet")
	var control time.Duration // a first view
	for i := range 5 {        // exceeds the burst of one client: the last offers are held
		began := time.Now()
		v := tablet.watch() // the previous view is forgotten, like that of a closed page: nobody tells the master
		v.plays(t, 3)
		took := time.Since(began)
		if i == 0 {
			control = took
		}
		wait := 4*control + 200*time.Millisecond // a round of ICE's checks may be missed
		if i >= 3 {
			wait += 2 * time.Second // for which an offer too many is held
		}
		if took > wait {
			t.Errorf("view %d had pictures after %v, the first after %v", i, took, control)
		}
		session(t, a, "gate")
	}
	if got := reasons(a, "gate"); strings.Count(got, "replaced") != 4 {
		t.Errorf("sessions ended because\n%s\nwant 4 that were replaced", got)
	}
}

func TestMaxViewersIsToldToTheViewer(t *testing.T) {
	s := service(t)
	a, _ := start(t, parse(t, s, "channels:\n  gate: {source: pattern, create: true, max_viewers: 1}\n"))
	first := join(t, s, "gate", "first").watch()
	first.plays(t, 5)
	second := join(t, s, "gate", "second").watch()
	if got := second.ended(t); !strings.Contains(got, "refused") || !strings.Contains(got, "max_viewers") {
		t.Errorf("the second viewer learnt %q, want that it was refused for max_viewers", got)
	}
	first.plays(t, 15)
	session(t, a, "gate")
}

func TestCandidatesBeforeTheOffer(t *testing.T) {
	s := service(t)
	start(t, parse(t, s, gate))
	var mu sync.Mutex
	var offer peer.Signal
	early := 0
	v := join(t, s, "gate", "tablet").connect(peer.Config{Offer: true}, func(s peer.Signal) []peer.Signal {
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
	})
	v.plays(t, 5)
	if early != 1 {
		t.Errorf("%d candidates went before the offer, want 1", early)
	}
}

func TestGarbage(t *testing.T) {
	s := service(t)
	a, _ := start(t, parse(t, s, gate))
	v := join(t, s, "gate", "honest").watch()
	v.plays(t, 5)
	before := session(t, a, "gate")
	bad := join(t, s, "gate", "bad")
	text := func(s string) []byte { b, _ := json.Marshal(payload{Type: "offer", SDP: s}); return b }
	for _, m := range []signaling.Message{
		{Type: signaling.SDPOffer, Payload: []byte(`{}`)},
		{Type: signaling.SDPOffer, Payload: []byte(`[]`)},
		{Type: signaling.SDPOffer, Payload: []byte(`{"type":"offer","sdp":7}`)},
		{Type: signaling.SDPOffer, Payload: text("hello")},
		{Type: signaling.SDPOffer, Payload: text("v=0\r\n")},
		{Type: signaling.SDPOffer, Payload: text("v=0\r\n" + strings.Repeat("m=video 9 X 96\r\n", 300))},
		{Type: signaling.SDPOffer, Payload: text("v=0\r\na=" + strings.Repeat("x", 5000))},
		{Type: signaling.SDPAnswer, Payload: text("v=0\r\n")},
		{Type: signaling.ICECandidate, Payload: []byte(`{"candidate":7}`)},
		{Type: signaling.ICECandidate,
			Payload: []byte(`{"candidate":"candidate:1 1 udp 1 127.0.0.1 9 typ host","sdpMid":"99"}`)},
		{Type: signaling.ICECandidate, Payload: []byte(`{"candidate":"\u0000\u0007"}`)},
		{Type: signaling.ICECandidate, Payload: []byte(`null`)},
	} {
		received := channel(a, "gate").Received
		bad.send(m) // each alone: of two queued offers, the service's client keeps the newer one
		eventually(t, "it has come", func() bool { return channel(a, "gate").Received > received })
	}
	v.plays(t, 15)
	eventually(t, "only the honest viewer is left", func() bool { return len(channel(a, "gate").Peers) == 1 })
	if after := session(t, a, "gate"); after.Session != before.Session {
		t.Errorf("session %s became %s", before.Session, after.Session)
	}
	join(t, s, "gate", "late").watch().plays(t, 5)
}

// lines collects what a logger writes.
type lines struct {
	mu   sync.Mutex // guards text
	text strings.Builder
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lines) with(words ...string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(l.text.String()) {
		if !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(line, w) }) {
			return true
		}
	}
	return false
}

// An invalid offer is logged at WARN, whether we detect it at once or Pion does in the session that it begins.
func TestBadOfferIsAWarning(t *testing.T) {
	s, log := service(t), &lines{}
	startLogging(t, parse(t, s, gate), slog.New(slog.NewTextHandler(log, nil)))
	for client, tt := range map[string]struct{ sdp, says string }{
		"poet": {"to be or not to be", "not an sdp"},
		"half": {"v=0\r\nm=video 9 UDP/TLS/RTP/SAVPF " +
			"96\r\na=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuv\r\na=fingerprint:none\r\n", ""},
	} {
		b, err := json.Marshal(payload{Type: "offer", SDP: tt.sdp})
		if err != nil {
			t.Fatal(err)
		}
		join(t, s, "gate", client).send(signaling.Message{Type: signaling.SDPOffer, Payload: b})
		eventually(t, "a warning about "+client, func() bool { return log.with("level=WARN", "="+client, tt.says) })
		if client == "half" && !log.with("level=WARN", "peer gone", "client=half") {
			t.Error("the session of half did not end with a warning")
		}
	}
}

// TestOffersFlood: thirty clients offer as fast as the service lets them, and a connected viewer does not notice.
func TestOffersFlood(t *testing.T) {
	s := service(t)
	a, _ := start(t, parse(t, s, gate))
	v := join(t, s, "gate", "honest").watch()
	v.plays(t, 5)
	before := session(t, a, "gate")
	offer := pack(peer.Offer{SDP: "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 " +
		"0\r\na=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuvwx\r\n" +
		"a=fingerprint:sha-256 " + strings.TrimSuffix(strings.Repeat("AB:", 32), ":") +
		"\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\n" +
		"a=mid:0\r\na=recvonly\r\na=rtcp-mux\r\na=setup:actpass\r\na=rtpmap:96 H264/90000\r\na=fmtp:96 " +
		"packetization-mode=1;profile-level-id=42e01f\r\n"})
	received := channel(a, "gate").Received
	for i := range 30 {
		join(t, s, "gate", fmt.Sprintf("bad%d", i)).send(offer)
	}
	eventually(t, "all offers have come", func() bool { return channel(a, "gate").Received >= received+30 })
	if n := len(channel(a, "gate").Peers); n > 5 {
		t.Errorf("%d sessions, want the honest one and limits.max_pending others", n)
	}
	v.plays(t, 15)
	if r := v.conn.Report(); r.Receiving[0].Lost != 0 {
		t.Errorf("the honest viewer lost %d packets", r.Receiving[0].Lost)
	}
	for _, p := range channel(a, "gate").Peers {
		if p.ClientID == "honest" && p.Session != before.Session {
			t.Errorf("the honest viewer's session %s became %s", before.Session, p.Session)
		}
	}
}

func TestWatchPlaysTheViewerForAPage(t *testing.T) {
	s := service(t)
	a, _ := start(t, parse(t, s, gate))
	offers, got := make(chan string, 1), &frames{}
	conn, err := peer.New(peer.Config{Engine: newEngine(t), Offer: true, Receive: true, Sink: got,
		Send: func(s peer.Signal) {
			if o, ok := s.(peer.Offer); ok {
				offers <- o.SDP
			}
		}})
	if err != nil {
		t.Fatal(err)
	}
	run(t, func(ctx context.Context) { _ = conn.Run(ctx) })
	offer := <-offers
	run(t, func(ctx context.Context) {
		err := a.Watch(ctx, "gate", offer, func(s status.Signal) error {
			if s.Type == "answer" {
				conn.Handle(peer.Answer{SDP: s.SDP})
				return nil
			}
			conn.Handle(peer.Candidate{Candidate: s.Candidate, SDPMid: s.SDPMid, SDPMLineIndex: s.SDPMLineIndex})
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	})
	eventually(t, "the page plays", func() bool { return got.pictures() > 5 })
}

func TestWatchOfNothing(t *testing.T) {
	s := service(t)
	a, _ := start(t, parse(t, s, gate+"  yard: {role: viewer, wait_for_offer: true, create: true}\n"))
	for name, want := range map[string]int{"nowhere": 404, "yard": 409} {
		var problem *status.Problem
		err := a.Watch(t.Context(), name, "v=0", nil)
		if p, ok := err.(*status.Problem); ok {
			problem = p
		}
		if problem == nil || problem.Status != want {
			t.Errorf("Watch(%s) = %v, want status %d", name, err, want)
		}
	}
}

func TestRunView(t *testing.T) {
	s := service(t)
	cfg := parse(t, s, gate)
	start(t, cfg)
	file := t.TempDir() + "/view.mp4"
	seen := 0
	v, err := agent.RunView(t.Context(), cfg, agent.ViewOptions{
		Channel: "gate", Duration: 2 * time.Second, Record: file, Progress: func(agent.View) { seen++ },
		Log: logger("view"),
	})
	if err != nil {
		t.Fatal(err)
	}
	if v.Video == nil || v.Video.Width != 320 || v.Video.Frames < 20 || v.Video.Lost != 0 || v.Audio == nil ||
		v.FirstFrameMS == 0 || !v.Connected || seen == 0 {
		t.Errorf("view = %+v, video %+v, audio %+v", v, v.Video, v.Audio)
	}
}

func TestRunViewOfNobody(t *testing.T) {
	s := service(t)
	cfg := parse(t, s, "channels:\n  gate: {role: viewer, wait_for_offer: true, create: true}\n")
	start(t, cfg) // makes the channel; it is not a master
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	v, err := agent.RunView(ctx, cfg, agent.ViewOptions{Channel: "gate"})
	if err == nil || v.Error == "" || v.Connected {
		t.Errorf("RunView = %+v, %v; want an error", v, err)
	}
}
