package signaling_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/gorilla/websocket"
	"github.com/kvsagent/kvsagent/signaling"
)

const arn = "arn:aws:kinesisvideo:us-west-2:123456789012:channel/cam1/1700000000000"

// answer replaces the fake's usual answer to a request.
type answer struct {
	status int
	code   string
	body   string
	header http.Header
}

// request is a request to the fake.
type request struct {
	header http.Header
	body   string
}

// fake is the service, in memory: its control plane, the channel's address and WebSockets, with switches.
type fake struct {
	t *testing.T

	mu      sync.Mutex
	answers map[string][]answer // by path, used up in order; mu guards it and the fields below
	always  map[string]answer   // by path
	calls   map[string]int      // by path
	last    map[string]request  // by path
	skew    time.Duration       // of the service's Date
	strict  bool                // refuses signatures that are more than five minutes off
	down    bool                // refuses connections
	mute    bool                // new WebSockets do not answer pings
	stall   bool                // new WebSockets stop reading at the first ping
	conns   []net.Conn          // client ends, all that were dialled

	silent    bool         // open WebSockets lose every pong
	raw       []byte       // what new WebSockets send, as bytes on the wire, before they fall silent
	onPing    func()       // set before start
	onUpgrade func()       // for each request for a WebSocket; set before the first
	route     bool         // passes what viewers send to the newest master; set before start
	master    *socket      // the newest one
	storage   string       // ENABLED or DISABLED
	onJoin    func(string) // called with the body of each join; set before start

	requests atomic.Int64
	ended    chan struct{} // closed when the test ends
	sockets  chan *socket  // opened ones, for the test to take
}

// socket is the service's end of a WebSocket.
type socket struct {
	*websocket.Conn
	query  string
	frames chan string // what the client sent; closed at the end
}

func (s *socket) say(t *testing.T, frame string) {
	t.Helper()
	if err := s.WriteMessage(websocket.TextMessage, []byte(frame)); err != nil {
		t.Errorf("fake: write %s: %v", frame, err)
	}
}

func newFake(t *testing.T) *fake {
	return &fake{t: t, answers: map[string][]answer{}, always: map[string]answer{}, calls: map[string]int{},
		last: map[string]request{}, sockets: make(chan *socket, 1000), ended: make(chan struct{})}
}

func (f *fake) next(path string, a ...answer) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answers[path] = append(f.answers[path], a...)
}

func (f *fake) count(path string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls[path]
}

func (f *fake) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

func (f *fake) scripted(path string) (answer, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls[path]++
	if a, ok := f.always[path]; ok {
		return a, true
	}
	if q := f.answers[path]; len(q) > 0 {
		f.answers[path] = q[1:]
		return q[0], q[0].status != 0
	}
	return answer{}, false
}

const (
	describePath = "/describeSignalingChannel"
	createPath   = "/createSignalingChannel"
	endpointPath = "/getSignalingChannelEndpoint"
	icePath      = "/v1/get-ice-server-config"
	wssPath      = "/"

	storagePath    = "/describeMediaStorageConfiguration"
	joinPath       = "/joinStorageSession"
	joinViewerPath = "/joinStorageSessionAsViewer"
)

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	f.mu.Lock()
	skew, strict := f.skew, f.strict
	f.last[r.URL.Path] = request{r.Header.Clone(), string(body)}
	f.mu.Unlock()
	w.Header().Set("Date", time.Now().Add(skew).UTC().Format(http.TimeFormat))
	w.Header().Set("X-Amzn-Requestid", fmt.Sprint("req-", f.requests.Add(1)))
	if r.URL.Path == wssPath && f.onUpgrade != nil {
		f.onUpgrade()
	}
	a, ok := f.scripted(r.URL.Path)
	if !ok && strict {
		a, ok = signedAt(r, time.Now().Add(skew))
	}
	if ok {
		for k, v := range a.header {
			w.Header()[k] = v
		}
		if a.code != "" {
			w.Header().Set("X-Amzn-Errortype", a.code+":http://internal.amazon.com/x/")
		}
		w.WriteHeader(a.status)
		io.WriteString(w, a.body)
		return
	}
	switch r.URL.Path {
	case describePath:
		fmt.Fprintf(w,
			`{"ChannelInfo":{"ChannelName":"cam1","ChannelARN":%q,"ChannelStatus":"ACTIVE","CreationTime":1700000000.5}}`, arn)
	case createPath:
		fmt.Fprintf(w, `{"ChannelARN":%q}`, arn)
	case endpointPath:
		fmt.Fprintf(w,
			`{"ResourceEndpointList":[{"Protocol":"NEW","ResourceEndpoint":"new://x"},{"Protocol":"HTTPS","ResourceEndpoint":"http://%[1]s"},{"Protocol":"WEBRTC","ResourceEndpoint":"http://%[1]s"},{"Protocol":"WSS","ResourceEndpoint":"ws://%[1]s"}]}`, r.Host)
	case storagePath:
		f.mu.Lock()
		status := f.storage
		f.mu.Unlock()
		fmt.Fprintf(w, `{"MediaStorageConfiguration":{"Status":%q}}`, status)
	case joinPath, joinViewerPath:
		if f.onJoin != nil {
			f.onJoin(string(body))
		}
	case icePath:
		io.WriteString(w,
			`{"IceServerList":[{"Password":"canary-password","Ttl":300,"Uris":["turn:34-1-2-3.t-1a2b.kinesisvideo.us-west-2.amazonaws.com:443?transport=udp"],"Username":"1700000300:djE6"}]}`)
	case wssPath:
		f.upgrade(w, r)
	default:
		http.NotFound(w, r)
	}
}

// signedAt refuses a signature with another time than now, in the service's words.
func signedAt(r *http.Request, now time.Time) (answer, bool) {
	text := r.URL.Query().Get("X-Amz-Date")
	if text == "" {
		text = r.Header.Get("X-Amz-Date")
	}
	at, err := time.Parse("20060102T150405Z", text)
	switch {
	case err != nil:
		return answer{403, "IncompleteSignatureException", `{"message":"no date"}`, nil}, true
	case now.Sub(at) > 5*time.Minute:
		return answer{403, "InvalidSignatureException", `{"message":"Signature expired: is now earlier than"}`,
			nil}, true
	case at.Sub(now) > 5*time.Minute:
		return answer{403, "InvalidSignatureException", `{"message":"Signature not yet current: is still later than"}`,
			nil}, true
	}
	return answer{}, false
}

func (f *fake) upgrade(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	frame := f.raw
	f.mu.Unlock()
	if frame != nil {
		raw(w, r, frame)
		return
	}
	u := websocket.Upgrader{}
	conn, err := u.Upgrade(w, r, nil)
	if err != nil {
		f.t.Errorf("fake: upgrade: %v", err)
		return
	}
	s := &socket{Conn: conn, query: r.URL.RawQuery, frames: make(chan string, 1000)}
	pong := s.PingHandler()
	s.SetPingHandler(func(data string) error {
		if f.onPing != nil {
			f.onPing()
		}
		f.mu.Lock()
		lost := f.silent
		f.mu.Unlock()
		if lost {
			return nil
		}
		return pong(data)
	})
	f.mu.Lock()
	switch {
	case f.mute:
		s.SetPingHandler(func(string) error { return nil })
	case f.stall:
		s.SetPingHandler(func(string) error { <-f.ended; return errors.New("stalled") })
	}
	f.mu.Unlock()
	viewer := r.URL.Query().Get("X-Amz-ClientId")
	if f.route && viewer != "" {
		f.passOn(s, viewer)
		return
	}
	f.set(func() { f.master = s })
	f.sockets <- s
	defer close(s.frames)
	defer conn.Close()
	for {
		_, data, err := conn.ReadMessage()
		if err != nil {
			return
		}
		s.frames <- string(data)
	}
}

// passOn gives what a viewer sends to the newest master.
func (f *fake) passOn(from *socket, id string) {
	defer from.Close()
	for {
		_, data, err := from.ReadMessage()
		if err != nil {
			return
		}
		var m struct{ Action, MessagePayload string }
		if err := json.Unmarshal(data, &m); err != nil {
			f.t.Errorf("fake: %s from %s: %v", data, id, err)
		}
		text, err := base64.StdEncoding.DecodeString(m.MessagePayload)
		if err != nil {
			f.t.Errorf("fake: payload of %s: %v", id, err)
		}
		f.set(func() {
			if f.master != nil {
				_ = f.master.WriteMessage(websocket.TextMessage, []byte(message(m.Action, id, string(text))))
			}
		})
	}
}

// memListener is a network with one address.
type memListener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (l *memListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}
func (l *memListener) Close() error   { l.once.Do(func() { close(l.closed) }); return nil }
func (l *memListener) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 80} }

// start serves the fake in memory and returns options that reach it.
func (f *fake) start() signaling.Options {
	l := &memListener{conns: make(chan net.Conn), closed: make(chan struct{})}
	srv := &http.Server{Handler: f}
	var wg sync.WaitGroup
	wg.Go(func() { _ = srv.Serve(l) })
	f.t.Cleanup(func() {
		close(f.ended)
		srv.Close()
		f.cut()
		wg.Wait()
	})
	return signaling.Options{
		Channel: "cam1", Role: signaling.Master, Region: "us-west-2", Endpoint: "http://kvs.test",
		Credentials: staticKeys("canary-secret"),
		Log:         slog.New(slog.DiscardHandler),
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			f.mu.Lock()
			down := f.down
			f.mu.Unlock()
			if down {
				return nil, &net.OpError{Op: "dial", Net: network, Err: errors.New("network is unreachable")}
			}
			client, server := net.Pipe()
			select {
			case l.conns <- server:
			case <-ctx.Done():
				return nil, ctx.Err()
			}
			f.mu.Lock()
			f.conns = append(f.conns, client)
			f.mu.Unlock()
			return client, nil
		},
		Proxy: func(*http.Request) (*url.URL, error) { return nil, nil },
		Rand:  func() float64 { return 0.5 },
	}
}

// cut breaks every connection without a close.
func (f *fake) cut() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.conns {
		c.Close()
	}
	f.conns = nil
}

func staticKeys(secret string) aws.CredentialsProvider {
	return aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: secret, SessionToken: "canary-token"}, nil
	})
}

// running is a client that runs until the test ends.
type running struct {
	*signaling.Client
	t      *testing.T
	events chan signaling.Event
	stop   func() error
	logged *bytes.Buffer // read it only after stop
}

func run(t *testing.T, opts signaling.Options) *running {
	t.Helper()
	r := &running{t: t, events: make(chan signaling.Event, 100_000), logged: &bytes.Buffer{}}
	opts.Log = slog.New(slog.NewTextHandler(r.logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
	c, err := signaling.New(opts)
	if err != nil {
		t.Fatal(err)
	}
	r.Client = c
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx, func(e signaling.Event) { r.events <- e }) }()
	r.stop = sync.OnceValue(func() error { cancel(); return <-done })
	t.Cleanup(func() {
		if err := r.stop(); err != nil {
			t.Errorf("Run = %v, want nil", err)
		}
		if strings.Contains(r.logged.String(), "canary") || strings.Contains(r.logged.String(), "X-Amz-Signature") {
			t.Errorf("a secret was logged: %s", r.logged)
		}
	})
	return r
}

// expect takes the next event, which must be an E.
func expect[E signaling.Event](r *running) E {
	r.t.Helper()
	select {
	case e := <-r.events:
		got, ok := e.(E)
		if !ok {
			r.t.Fatalf("event = %#v, want a %T", e, got)
		}
		return got
	case <-time.After(time.Hour): // in a bubble: as soon as nothing else can happen
		r.t.Fatalf("no event, want a %T; report: %+v", *new(E), r.Report())
	}
	panic("unreachable")
}

func (f *fake) socket() *socket {
	f.t.Helper()
	select {
	case s := <-f.sockets:
		return s
	case <-time.After(2 * time.Hour):
		f.t.Fatal("no WebSocket was opened")
	}
	panic("unreachable")
}

func message(typ, sender, payload string) string {
	m := map[string]string{"messageType": typ, "messagePayload": base64.StdEncoding.EncodeToString([]byte(payload))}
	if sender != "" {
		m["senderClientId"] = sender
	}
	b, _ := json.Marshal(m)
	return string(b)
}
