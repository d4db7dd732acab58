package agent_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/kvsagent/kvsagent/agent"
	"github.com/kvsagent/kvsagent/config"
	"github.com/kvsagent/kvsagent/localkvs"
	"github.com/kvsagent/kvsagent/media"
	"github.com/kvsagent/kvsagent/peer"
	"github.com/kvsagent/kvsagent/signaling"
	"github.com/kvsagent/kvsagent/status"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for an event. Only a failing test uses it up.
const patience = 30 * time.Second

// service returns a signaling service without quotas, for the length of a test.
func service(t *testing.T) *localkvs.Server {
	t.Helper()
	return serviceWith(t, localkvs.Options{})
}

// serviceWith is service with more options.
func serviceWith(t *testing.T, o localkvs.Options) *localkvs.Server {
	t.Helper()
	o.Listen = "127.0.0.1:0"
	l := &o.Limits
	l.ConnectRate, l.SDPRate, l.CandidateRate, l.ChannelCalls, l.AccountCalls, l.Viewers = -1, -1, -1, -1, -1, -1
	s, err := localkvs.New(o)
	if err != nil {
		t.Fatal(err)
	}
	run(t, func(ctx context.Context) {
		if err := s.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	return s
}

// run calls f until the test ends, and waits for it. The returned function ends it earlier.
func run(t *testing.T, f func(context.Context)) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { f(ctx) })
	stop = sync.OnceFunc(func() { cancel(); wg.Wait() })
	t.Cleanup(stop)
	return stop
}

// parse makes a config: the service, a small test pattern called pattern, and what the test adds.
func parse(t *testing.T, s *localkvs.Server, more string) *config.Config {
	t.Helper()
	cfg, err := config.Parse("test.yaml", []byte("aws:\n  endpoint: "+s.URL()+`
  credentials: {access_key_id: localkvs, secret_access_key: localkvs}
sources:
  pattern: {url: "testpattern:?size=320x240&rate=15&gop=1s"}
`+more), func(string) (string, bool) { return "", false })
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// logger writes the agent's log when KVSAGENT_TEST_LOG is set.
func logger(who string) *slog.Logger {
	if os.Getenv("KVSAGENT_TEST_LOG") == "" {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(os.Stderr, nil)).With("who", who)
}

// start runs an agent for the length of the test. A config sent to the channel is its next one.
func start(t *testing.T, cfg *config.Config) (*agent.Agent, chan<- *config.Config) {
	t.Helper()
	return startLogging(t, cfg, logger("agent"))
}

func startLogging(t *testing.T, cfg *config.Config, log *slog.Logger) (*agent.Agent, chan<- *config.Config) {
	t.Helper()
	started, reload := make(chan struct{}), make(chan *config.Config)
	a := agent.New(agent.Options{Version: "test", Started: func() { close(started) }, Log: log})
	run(t, func(ctx context.Context) {
		if err := a.Run(ctx, cfg, reload); err != nil {
			t.Error(err)
		}
	})
	select {
	case <-started:
	case <-time.After(patience):
		t.Fatalf("the agent did not start in %v", patience)
	}
	for name := range cfg.Channels {
		connected(t, a, name)
	}
	return a, reload
}

// connected waits until a channel is connected, and reports the reason when it is not.
func connected(t *testing.T, a *agent.Agent, name string) {
	t.Helper()
	defer func() {
		if c := channel(a, name); t.Failed() {
			t.Logf("channel %s: %s, last error: %s", name, c.State, c.Error)
		}
	}()
	eventually(t, "channel "+name+" is connected", func() bool { return channel(a, name).State == "connected" })
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	within(t, patience, what, ok)
}

// within is eventually with another timeout.
func within(t *testing.T, d time.Duration, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(d)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not in %v: %s", d, what)
		}
	}
}

// channel returns what an agent reports of one channel.
func channel(a *agent.Agent, name string) status.Channel {
	for _, c := range a.Report().Channels {
		if c.Name == name {
			return c
		}
	}
	return status.Channel{}
}

// remote is a client on the far end of a channel that is not an agent: its signals go through the service like a
// browser's.
type remote struct {
	t      *testing.T
	client *signaling.Client
	engine *peer.Engine

	offers  atomic.Int32 // received
	answers atomic.Int32 // received
	deaf    atomic.Bool  // ignores offers, and does not follow when TURN servers move

	mu   sync.Mutex // guards the fields below
	conn *peer.Conn
	kept []signaling.Message // received before there was a conn for it
}

// join connects a viewer to a channel.
func join(t *testing.T, s *localkvs.Server, channelName, id string) *remote {
	t.Helper()
	r := &remote{t: t, engine: newEngine(t)}
	var err error
	r.client, err = signaling.New(signaling.Options{
		Channel: channelName, Role: signaling.Viewer, ClientID: id, Region: "us-west-2", Endpoint: s.URL(),
		Log:         logger(id),
		Credentials: credentials.NewStaticCredentialsProvider("localkvs", "localkvs", ""),
	})
	if err != nil {
		t.Fatal(err)
	}
	connected := make(chan struct{})
	once := sync.OnceFunc(func() { close(connected) })
	run(t, func(ctx context.Context) {
		_ = r.client.Run(ctx, func(e signaling.Event) {
			switch e := e.(type) {
			case signaling.Connected:
				once()
			case signaling.Received:
				r.receive(e.Message)
			case signaling.ICEServersChanged:
				r.move()
			}
		})
	})
	select {
	case <-connected:
	case <-time.After(patience):
		report := r.client.Report()
		t.Fatalf("%s did not join %s in %v: %s, last error: %v", id, channelName, patience, report.State, report.Err)
	}
	return r
}

func newEngine(t *testing.T) *peer.Engine {
	t.Helper()
	e, err := peer.NewEngine(peer.EngineOptions{Loopback: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	return e
}

// move switches to other TURN servers.
func (r *remote) move() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.conn != nil && !r.deaf.Load() {
		r.conn.MigrateRelay()
	}
}

func (r *remote) receive(m signaling.Message) {
	if m.Type == signaling.SDPOffer {
		if r.offers.Add(1); r.deaf.Load() {
			return
		}
	}
	if m.Type == signaling.SDPAnswer {
		r.answers.Add(1)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.conn == nil {
		r.kept = append(r.kept, m)
		return
	}
	r.conn.Handle(unpack(r.t, m))
}

// payload is what browsers send: RTCSessionDescription and RTCIceCandidate as JSON.
type payload struct {
	Type          string  `json:"type,omitempty"`
	SDP           string  `json:"sdp,omitempty"`
	Candidate     string  `json:"candidate,omitempty"`
	SDPMid        *string `json:"sdpMid,omitempty"`
	SDPMLineIndex *uint16 `json:"sdpMLineIndex,omitempty"`
}

func unpack(t *testing.T, m signaling.Message) peer.Signal {
	var p payload
	if err := json.Unmarshal(m.Payload, &p); err != nil {
		t.Errorf("%s: %v", m.Payload, err)
	}
	switch m.Type {
	case signaling.SDPOffer:
		return peer.Offer{SDP: p.SDP}
	case signaling.SDPAnswer:
		return peer.Answer{SDP: p.SDP}
	}
	return peer.Candidate{Candidate: p.Candidate, SDPMid: p.SDPMid, SDPMLineIndex: p.SDPMLineIndex}
}

func pack(s peer.Signal) signaling.Message {
	var p payload
	var m signaling.Message
	switch s := s.(type) {
	case peer.Offer:
		m.Type, p.Type, p.SDP = signaling.SDPOffer, "offer", s.SDP
	case peer.Answer:
		m.Type, p.Type, p.SDP = signaling.SDPAnswer, "answer", s.SDP
	case peer.Candidate:
		m.Type, p.Candidate, p.SDPMid, p.SDPMLineIndex = signaling.ICECandidate, s.Candidate, s.SDPMid, s.SDPMLineIndex
	}
	m.Payload, _ = json.Marshal(p)
	return m
}

// send hands a message to the service.
func (r *remote) send(m signaling.Message) {
	if err := r.client.Send(m); err != nil {
		r.t.Error(err)
	}
}

// view is one peer connection of a remote, with what it received.
type view struct {
	*frames
	conn *peer.Conn
	done chan struct{} // closed when it is over
	err  error         // why, once done is closed
	stop func()
}

// connect begins a peer connection that receives. Each signal that it sends passes through change, if that is not nil.
func (r *remote) connect(o peer.Config, change func(peer.Signal) []peer.Signal) *view {
	r.t.Helper()
	v := &view{frames: &frames{}, done: make(chan struct{})}
	o.Engine, o.Receive, o.Sink, o.Log = r.engine, true, v.frames, logger("remote")
	o.Send = func(s peer.Signal) {
		all := []peer.Signal{s}
		if change != nil {
			all = change(s)
		}
		for _, s := range all {
			if _, ok := s.(peer.Offer); ok {
				r.offers.Add(1)
			}
			r.send(pack(s))
		}
	}
	conn, err := peer.New(o)
	if err != nil {
		r.t.Fatal(err)
	}
	v.conn = conn
	r.mu.Lock()
	r.conn = conn
	for _, m := range r.kept {
		conn.Handle(unpack(r.t, m))
	}
	r.kept = nil
	r.mu.Unlock()
	v.stop = run(r.t, func(ctx context.Context) {
		defer close(v.done)
		v.err = conn.Run(ctx)
	})
	return v
}

// watch begins a peer connection by an offer.
func (r *remote) watch() *view { return r.connect(peer.Config{Offer: true}, nil) }

// ended waits for the end of a view, and returns its reason.
func (v *view) ended(t *testing.T) string {
	t.Helper()
	select {
	case <-v.done:
	case <-time.After(patience):
		t.Fatal("the session goes on")
	}
	if v.err == nil {
		return ""
	}
	return v.err.Error()
}

// plays waits for n more pictures.
func (v *view) plays(t *testing.T, n int) {
	t.Helper()
	want := v.pictures() + n
	eventually(t, "pictures come", func() bool { return v.pictures() >= want })
}

// frames is a counting sink.
type frames struct {
	mu    sync.Mutex // guards the fields below
	video int
	last  time.Duration // PTS
	apart time.Duration // the most between two pictures
}

func (f *frames) Tracks([]media.Track) {}

func (f *frames) Write(frame *media.Frame) {
	if frame.Codec.Video() {
		f.mu.Lock()
		if f.video > 0 {
			f.apart = max(f.apart, frame.PTS-f.last)
		}
		f.video++
		f.last = frame.PTS
		f.mu.Unlock()
	}
}

// gap is the most that two pictures were apart, by their times.
func (f *frames) gap() time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.apart
}

// forgetGaps begins anew with what gap returns.
func (f *frames) forgetGaps() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.apart = 0
}

func (f *frames) pictures() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.video
}

// session returns the one session of a channel.
func session(t *testing.T, a *agent.Agent, name string) status.Peer {
	t.Helper()
	peers := channel(a, name).Peers
	if len(peers) != 1 {
		t.Fatalf("%d sessions, want 1: %+v", len(peers), peers)
	}
	return peers[0]
}

// reasons returns why sessions of a channel ended, newest first.
func reasons(a *agent.Agent, name string) string {
	var all []string
	for _, e := range channel(a, name).Ended {
		all = append(all, e.Reason)
	}
	return strings.Join(all, "\n")
}
