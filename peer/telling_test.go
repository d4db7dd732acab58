package peer_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kvsagent/kvsagent/peer"
	"github.com/pion/webrtc/v4"
)

// page is a viewer as the KVS JS SDK's page makes one: video and a data channel, and no idea of refusals.
type page struct {
	pc       *webrtc.PeerConnection
	offer    string
	data     *webrtc.DataChannel
	open     chan struct{} // closed when data is
	messages chan string
	signals  chan peer.Signal // what the master sent

	mu         sync.Mutex
	candidates []peer.Candidate // of the master; guarded by mu
}

func newPage(t *testing.T) *page {
	t.Helper()
	return newPageWith(t, "video")
}

// newPageWith makes a page that receives some kinds of media.
func newPageWith(t *testing.T, kinds ...string) *page {
	t.Helper()
	m := &webrtc.MediaEngine{}
	if err := m.RegisterDefaultCodecs(); err != nil {
		t.Fatal(err)
	}
	s := webrtc.SettingEngine{LoggerFactory: quiet}
	s.SetIncludeLoopbackCandidate(true)
	pc, err := webrtc.NewAPI(webrtc.WithMediaEngine(m),
		webrtc.WithSettingEngine(s)).NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pc.GracefulClose() })
	p := &page{pc: pc, open: make(chan struct{}), messages: make(chan string, 8), signals: make(chan peer.Signal, 64)}
	for _, kind := range kinds {
		if _, err := pc.AddTransceiverFromKind(webrtc.NewRTPCodecType(kind),
			webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly}); err != nil {
			t.Fatal(err)
		}
	}
	d, err := pc.CreateDataChannel("kvsDataChannel", nil)
	if err != nil {
		t.Fatal(err)
	}
	p.data = d
	d.OnOpen(func() { close(p.open) })
	d.OnMessage(func(m webrtc.DataChannelMessage) { p.messages <- string(m.Data) })
	offer, err := pc.CreateOffer(nil)
	if err != nil {
		t.Fatal(err)
	}
	gathered := webrtc.GatheringCompletePromise(pc)
	if err := pc.SetLocalDescription(offer); err != nil {
		t.Fatal(err)
	}
	<-gathered
	p.offer = strings.Replace(pc.LocalDescription().SDP, "t=0 0\r\n", "t=0 0\r\na=ice-options:trickle\r\n", 1)
	return p
}

// call runs a master's connection on the page's offer until the test ends, and gives its end.
func (p *page) call(t *testing.T, o peer.Config) (*peer.Conn, <-chan error) {
	t.Helper()
	o.Send = func(s peer.Signal) { p.signals <- s }
	c, err := peer.New(o)
	if err != nil {
		t.Fatal(err)
	}
	c.Handle(peer.Offer{SDP: p.offer})
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	done := make(chan error, 1)
	wg.Go(func() { done <- c.Run(ctx) })
	t.Cleanup(func() { cancel(); wg.Wait() })
	return c, done
}

// answer waits for the master's answer.
func (p *page) answer(t *testing.T) string {
	t.Helper()
	for {
		select {
		case s := <-p.signals:
			if a, ok := s.(peer.Answer); ok {
				return a.SDP
			}
		case <-time.After(20 * time.Second):
			t.Fatal("no answer")
		}
	}
}

// take gives the page an answer, and the candidates that follow it. What else comes it hands on.
func (p *page) take(t *testing.T, answer string) <-chan peer.Signal {
	t.Helper()
	if err := p.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer,
		SDP: answer}); err != nil {
		t.Fatal(err)
	}
	done, others := make(chan struct{}), make(chan peer.Signal, 8)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case s := <-p.signals:
				if c, ok := s.(peer.Candidate); ok {
					p.mu.Lock()
					p.candidates = append(p.candidates, c)
					p.mu.Unlock()
					p.addCandidates()
					continue
				}
				others <- s
			case <-done:
				return
			}
		}
	})
	t.Cleanup(func() { close(done); wg.Wait() })
	return others
}

// addCandidates gives the page what the master has trickled so far. Those of a restart may come before the page has
// taken the offer of it.
func (p *page) addCandidates() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.candidates {
		_ = p.pc.AddICECandidate(webrtc.ICECandidateInit{Candidate: c.Candidate})
	}
}

func (p *page) message(t *testing.T) string {
	t.Helper()
	select {
	case m := <-p.messages:
		return m
	case <-time.After(20 * time.Second):
		t.Fatal("no message came over the data channel")
		return ""
	}
}

// end waits for the end of a master's connection that refuses, and how long that took.
func refused(t *testing.T, done <-chan error, reason string) {
	t.Helper()
	select {
	case err := <-done:
		var r *peer.RefusedError
		if !errors.As(err, &r) || !strings.Contains(err.Error(), reason) {
			t.Errorf("Run = %v, want a RefusedError for %q", err, reason)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("the refused session goes on")
	}
}

// TestRefusedViewerIsTold: the answer rejects the media and says why, and the data channel that it leaves brings the
// reason to people.
func TestRefusedViewerIsTold(t *testing.T) {
	for _, tt := range []struct {
		name, reason, inLog string
		config              func() peer.Config
	}{
		{"full", peer.ReasonViewerLimit.Text(), "max_viewers",
			func() peer.Config { return peer.Config{Engine: engine(t), Refuse: peer.ReasonViewerLimit} }},
		{"no common codec", peer.ReasonNoCommonCodec.Text(), "no common video codec: the remote", func() peer.Config {
			return peer.Config{Engine: engine(t), Broadcast: pattern(t)}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newPage(t)
			if tt.name != "full" {
				p.offer = strings.ReplaceAll(strings.ReplaceAll(p.offer, " H264/", " X-H264/"), " H265/", " X-H265/")
			}
			began := time.Now()
			_, done := p.call(t, tt.config())
			answer := p.answer(t)
			if !strings.Contains(answer, "\ns="+tt.reason) || !strings.Contains(answer, "\na=inactive\r") ||
				strings.Contains(answer, "\na=sendonly\r") || !strings.Contains(answer, "\nm=application 9 ") {
				t.Fatalf("the answer should send no video, leave the data channel and give the reason:\n%s", answer)
			}
			p.take(t, answer)
			if got := p.message(t); !strings.HasPrefix(got, `{"action":"REFUSED","reason":"`+tt.reason) {
				t.Errorf("the page was told %s", got)
			}
			refused(t, done, tt.inLog)
			if took := time.Since(began); took > 4*time.Second {
				t.Errorf("telling took %v; it should end when the message has arrived", took)
			}
		})
	}
}

// TestOddOffersAreTold: a refusal reaches clients that insist on being the DTLS server, too, and one of an offer that
// does not bundle is in the answer alone.
func TestOddOffersAreTold(t *testing.T) {
	passive := newPage(t)
	passive.offer = strings.ReplaceAll(strings.ReplaceAll(strings.ReplaceAll(passive.offer, " H264/", " X-H264/"),
		" H265/", " X-H265/"), "a=setup:actpass", "a=setup:passive")
	_, done := passive.call(t, peer.Config{Engine: engine(t), Broadcast: pattern(t)})
	passive.take(t, passive.answer(t))
	if got := passive.message(t); !strings.HasPrefix(got, `{"action":"REFUSED"`) {
		t.Errorf("the page was told %s", got)
	}
	refused(t, done, "no common video codec")

	loose := newPage(t)
	loose.offer = regexp.MustCompile(`a=group:.*\r\n`).ReplaceAllString(loose.offer, "")
	_, done = loose.call(t, peer.Config{Engine: engine(t), Refuse: peer.ReasonViewerLimit})
	if answer := loose.answer(t); strings.Contains(answer, " 9 ") || !strings.Contains(answer, "\ns=viewer-limit") {
		t.Errorf("the answer is no plain refusal:\n%s", answer)
	}
	refused(t, done, "viewer-limit")
}

// TestRefusalsAreBounded: four viewers at a time cost a connection, for five seconds; the fifth has the answer alone.
func TestRefusalsAreBounded(t *testing.T) {
	e := engine(t)
	var ends []<-chan error
	began := time.Now()
	for i := range 5 {
		p := newPage(t) // which never answers
		_, done := p.call(t, peer.Config{Engine: e, Refuse: peer.ReasonViewerLimit})
		if i == 4 {
			refused(t, done, "viewer-limit")
		}
		if answer := p.answer(t); strings.Contains(answer, "\nm=application 9 ") != (i < 4) {
			t.Errorf("refusal %d: the data channel should be left to the first four:\n%s", i, answer)
		}
		ends = append(ends, done)
	}
	for _, done := range ends[:4] {
		refused(t, done, "viewer-limit")
	}
	if took := time.Since(began); took > 9*time.Second {
		t.Errorf("the refused viewers were given up after %v, want 5 s", took)
	}
}

// TestRestartIsAskedOverTheDataChannel: a viewer that offers, and takes no offers, hears that it should restart ICE.
func TestRestartIsAskedOverTheDataChannel(t *testing.T) {
	p := newPage(t)
	c, _ := p.call(t, peer.Config{Engine: engine(t), Broadcast: pattern(t)})
	opened := make(chan struct{})
	p.pc.OnConnectionStateChange(func(s webrtc.PeerConnectionState) {
		if s == webrtc.PeerConnectionStateConnected {
			close(opened)
		}
	})
	answer := p.answer(t)
	ufrag := regexp.MustCompile(`a=ice-ufrag:\S+`).FindString(answer)
	offered := p.take(t, answer)
	select {
	case <-opened:
	case <-time.After(20 * time.Second):
		t.Fatal("not connected")
	}
	select {
	case <-p.open:
	case <-time.After(20 * time.Second):
		t.Fatal("the data channel does not open")
	}
	if err := p.data.SendText("hello"); err != nil { // which the master hears when its side is open, too
		t.Fatal(err)
	}
	for p.data.BufferedAmount() > 0 {
		time.Sleep(time.Millisecond)
	}
	c.Restart()
	if m := p.message(t); m != `{"action":"ICE_RESTART"}` {
		t.Errorf("the page was told %s", m)
	}
	for { // the page does nothing, and is offered a restart
		select {
		case s := <-offered:
			if o, ok := s.(peer.Offer); ok {
				if strings.Contains(o.SDP, ufrag) {
					t.Errorf("an offer that is none of a restart, and for a viewer that wants nothing more:\n%s", o.SDP)
				}
				return
			}
		case <-time.After(20 * time.Second):
			t.Fatal("no restart was offered")
		}
	}
}

// TestDataChannelsAreRejected: in safe mode the section is rejected, in its place, in answers and in offers, and a page
// that speaks SCTP all the same is not heard. The picture comes, and ICE restarts.
func TestDataChannelsAreRejected(t *testing.T) {
	p := newPage(t)
	frames, connected := make(chan struct{}, 1), make(chan struct{})
	p.pc.OnTrack(func(track *webrtc.TrackRemote, _ *webrtc.RTPReceiver) {
		for {
			if _, _, err := track.ReadRTP(); err != nil {
				return
			}
			select {
			case frames <- struct{}{}:
			default:
			}
		}
	})
	once := sync.OnceFunc(func() { close(connected) })
	p.pc.OnConnectionStateChange(func(s webrtc.PeerConnectionState) {
		if s == webrtc.PeerConnectionStateConnected {
			once()
		}
	})
	c, _ := p.call(t, peer.Config{Engine: engine(t), Broadcast: pattern(t), NoData: true})
	answer := p.answer(t)
	sections := regexp.MustCompile(`(?m)^m=\w+ \d+`)
	want := "m=video 9,m=application 0"
	if got := strings.Join(sections.FindAllString(answer, -1), ","); got != want ||
		!strings.Contains(answer, "a=group:BUNDLE 0\r\n") {
		t.Fatalf("the answer has %s, want %s, in\n%s", got, want, answer)
	}
	// The page's Pion speaks SCTP though the section is rejected, as a hostile page would.
	others := p.take(t, answer)
	for _, what := range []<-chan struct{}{connected, frames} {
		select {
		case <-what:
		case <-time.After(20 * time.Second):
			t.Fatal("no picture")
		}
	}
	c.Restart()
	for restarted := false; !restarted; {
		select {
		case s := <-others:
			o, ok := s.(peer.Offer)
			if !ok {
				continue
			}
			if got := strings.Join(sections.FindAllString(o.SDP, -1), ","); got != want {
				t.Fatalf("the offer has %s, want %s", got, want)
			}
			if err := p.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer,
				SDP: o.SDP}); err != nil {
				t.Fatal(err)
			}
			desc, err := p.pc.CreateAnswer(nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := p.pc.SetLocalDescription(desc); err != nil {
				t.Fatal(err)
			}
			p.addCandidates()
			c.Handle(peer.Answer{SDP: desc.SDP})
			restarted = true
		case <-time.After(20 * time.Second):
			t.Fatal("no restart was offered")
		}
	}
	for len(frames) > 0 {
		<-frames
	}
	select {
	case <-frames:
	case <-time.After(20 * time.Second):
		t.Fatal("no picture after the restart")
	}
	select {
	case <-p.open:
		t.Error("the data channel has opened")
	default:
	}
}

// TestDataChannelsOfEveryClient: each client's section for data channels is rejected in its place; an offer of data
// channels alone is refused.
func TestDataChannelsOfEveryClient(t *testing.T) {
	files, err := filepath.Glob("testdata/*.sdp")
	if err != nil {
		t.Fatal(err)
	}
	with := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		offer := strings.ReplaceAll(string(text), "\n", "\r\n")
		if !strings.Contains(offer, "\r\nm=application") || !strings.Contains(offer, "H264") {
			continue
		}
		with++
		head, sections, _ := strings.Cut(offer, "\r\nm=")
		for _, alone := range []bool{false, true} {
			if alone {
				_, data, _ := strings.Cut(sections, "\r\nm=application")
				data, _, _ = strings.Cut(data, "\r\nm=")
				offer = head + "\r\nm=application" + strings.TrimSuffix(data, "\r\n") + "\r\n"
			}
			answers := make(chan string, 8)
			c, err := peer.New(peer.Config{Engine: engine(t), Broadcast: pattern(t), NoData: true,
				Send: func(s peer.Signal) {
					if a, ok := s.(peer.Answer); ok {
						answers <- a.SDP
					}
				}})
			if err != nil {
				t.Fatal(err)
			}
			c.Handle(peer.Offer{SDP: offer})
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- c.Run(ctx) }()
			var answer string
			select {
			case answer = <-answers:
			case <-time.After(20 * time.Second):
				t.Fatalf("%s: no answer", file)
			}
			var refused *peer.RefusedError
			if alone && !errors.As(<-done, &refused) {
				t.Errorf("%s: data channels alone are not refused", file)
			}
			cancel()
			if !alone {
				<-done
			}
			kinds := regexp.MustCompile(`(?m)^m=\w+`)
			if got, want := kinds.FindAllString(answer, -1), kinds.FindAllString(offer, -1); !slices.Equal(got, want) {
				t.Errorf("%s: the answer has %s, want %s", file, got, want)
			}
			if !strings.Contains(answer, "m=application 0 ") || !alone && !strings.Contains(answer, "m=video 9 ") {
				t.Errorf("%s: the answer is\n%s", file, answer)
			}
		}
	}
	if with < 2 {
		t.Errorf("%d clients have data channels", with)
	}
}
