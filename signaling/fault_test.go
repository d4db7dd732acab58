package signaling_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/gorilla/websocket"
	"github.com/kvsagent/kvsagent/signaling"
)

// A reset on a real socket.
func TestReset(t *testing.T) {
	f := newFake(t)
	srv := httptest.NewServer(f)
	defer srv.Close()
	opts := f.start()
	opts.Endpoint, opts.DialContext = srv.URL, nil
	opts.Spread = time.Millisecond
	r := run(t, opts)
	expect[signaling.Connected](r)
	conn := f.socket().NetConn().(*net.TCPConn)
	if err := conn.SetLinger(0); err != nil {
		t.Fatal(err)
	}
	conn.Close()
	if got := expect[signaling.Disconnected](r); !strings.Contains(got.Err.Error(), "connection lost after") {
		t.Errorf("err = %v", got.Err)
	}
	expect[signaling.Connected](r)
	_ = r.stop()
}

// raw answers the upgrade and then writes these bytes.
func raw(w http.ResponseWriter, r *http.Request, frame []byte) {
	u := websocket.Upgrader{}
	conn, err := u.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer conn.Close()
	_, _ = conn.NetConn().Write(frame)
	_, _, _ = conn.ReadMessage() // until the client ends it
}

// Frames that are not valid WebSocket (RFC 6455 section 5) end the session, and the next session works.
func TestBrokenFrames(t *testing.T) {
	text := func(n int) []byte { // a header that promises n bytes, and only some of them
		return append([]byte{0x81, 127, 0, 0, 0, 0, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)},
			bytes.Repeat([]byte("x"), 1000)...)
	}
	fragments := append([]byte{0x01, 126, 0x40, 0}, bytes.Repeat([]byte("x"), 0x4000)...)
	for range 10 {
		fragments = append(fragments, append([]byte{0x00, 126, 0x40, 0}, bytes.Repeat([]byte("x"), 0x4000)...)...)
	}
	for _, tt := range []struct {
		name  string
		frame []byte
	}{
		{"10 MB", text(10 << 20)},
		{"fragments without end", fragments},
		{"masked", []byte{0x81, 0x82, 1, 2, 3, 4, 5, 6}},
		{"opcode", []byte{0x83, 0}},
		{"reserved bit", []byte{0xC1, 0}},
		{"long ping", append([]byte{0x89, 126, 1, 0}, make([]byte, 256)...)},
		{"continuation of nothing", []byte{0x80, 0}},
		{"close without a code", []byte{0x88, 1, 0}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake(t)
				f.raw = tt.frame
				r := run(t, f.start())
				expect[signaling.Connected](r)
				got := expect[signaling.Disconnected](r)
				if len(got.Err.Error()) > 300 {
					t.Errorf("err = %v", got.Err)
				}
				f.set(func() { f.raw = nil })
				expect[signaling.Connected](r)
				f.socket().say(t, message("SDP_OFFER", "v", offer))
				expect[signaling.Received](r)
			})
		})
	}
}

// A service that accepts the connection and answers one byte a second.
func TestSlowUpgrade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		opts := f.start()
		reach := opts.DialContext
		var slow atomic.Bool
		var wg sync.WaitGroup
		opts.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			if !slow.Load() {
				return reach(ctx, network, addr)
			}
			client, server := net.Pipe()
			wg.Go(func() {
				defer server.Close()
				if _, err := http.ReadRequest(bufio.NewReader(server)); err != nil {
					return
				}
				for _, b := range []byte("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n") {
					time.Sleep(time.Second)
					if _, err := server.Write([]byte{b}); err != nil {
						return
					}
				}
			})
			return client, nil
		}
		r := run(t, opts)
		expect[signaling.Connected](r)
		slow.Store(true)
		f.cut()
		expect[signaling.Disconnected](r)
		start := time.Now()
		got := expect[signaling.Disconnected](r)
		if d := time.Since(start); d > 12*time.Second {
			t.Errorf("%v after %v, want 10 s", got.Err, d)
		}
		slow.Store(false)
		for _, ok := (<-r.events).(signaling.Connected); !ok; _, ok = (<-r.events).(signaling.Connected) {
		}
		_ = r.stop()
		wg.Wait()
	})
}

// The answer breaks off in the middle.
func TestAnswerBreaksOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		f.next(describePath, answer{200, "", `{"ChannelInfo":`, http.Header{"Content-Length": {"500"}}})
		r := run(t, f.start())
		expect[signaling.Disconnected](r)
		expect[signaling.Connected](r)
	})
}

// Pings prevent the service's idle timeout of ten minutes.
func TestIdleSessionIsPinged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		pings := make(chan time.Time, 1000)
		f.onPing = func() { pings <- time.Now() }
		r := run(t, f.start())
		expect[signaling.Connected](r)
		time.Sleep(40 * time.Minute)
		if n := len(pings); n < 150 || r.Report().Connects != 1 {
			t.Errorf("%d pings, %d connects in 40 idle minutes", n, r.Report().Connects)
		}
	})
}

// Where the requests go in each partition, without sending them.
func TestHosts(t *testing.T) {
	for _, tt := range []struct {
		region string
		change func(*signaling.Options)
		want   string
	}{
		{"eu-central-1", nil, "kinesisvideo.eu-central-1.amazonaws.com:443"},
		{"eu-central-1", func(o *signaling.Options) { o.DualStack = true }, "kinesisvideo.eu-central-1.api.aws:443"},
		{"us-east-1", func(o *signaling.Options) { o.FIPS = true }, "kinesisvideo-fips.us-east-1.amazonaws.com:443"},
		{"cn-north-1", nil, "kinesisvideo.cn-north-1.amazonaws.com.cn:443"},
		{"cn-north-1", func(o *signaling.Options) { o.DualStack = true },
			"kinesisvideo.cn-north-1.api.amazonwebservices.com.cn:443"},
		{"us-gov-west-1", nil, "kinesisvideo-fips.us-gov-west-1.amazonaws.com:443"},
		{"us-gov-east-1", func(o *signaling.Options) { o.DualStack = true },
			"kinesisvideo-fips.us-gov-east-1.api.aws:443"},
		{"us-iso-east-1", nil, "kinesisvideo.us-iso-east-1.c2s.ic.gov:443"},
		{"eusc-de-east-1", nil, "kinesisvideo.eusc-de-east-1.amazonaws.eu:443"},
		{"us-west-2", func(o *signaling.Options) { o.Endpoint = "https://vpce-1.example.test:8443/base" },
			"vpce-1.example.test:8443"},
	} {
		t.Run(tt.want, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				opts := newFake(t).start()
				opts.Region, opts.Endpoint = tt.region, ""
				if tt.change != nil {
					tt.change(&opts)
				}
				dialled := make(chan string, 100)
				opts.DialContext = func(_ context.Context, _, addr string) (net.Conn, error) {
					dialled <- addr
					return nil, &net.OpError{Op: "dial", Err: errors.New("no network here")}
				}
				r := run(t, opts)
				if got := <-dialled; got != tt.want {
					t.Errorf("dialled %s, want %s", got, tt.want)
				}
				expect[signaling.Disconnected](r)
			})
		})
	}
}

// How long it takes until a WebSocket is open again, and until a message has arrived over it: 50 runs each, with the
// waits that the agent really draws. `go test -run TestRecovery -v ./signaling` prints the table.
func TestRecovery(t *testing.T) {
	for _, tt := range []struct {
		name     string
		p50, p99 time.Duration
		failures int // the time counts from when the session is lost and this many further attempts have failed
		fault    func(f *fake, s *socket)
	}{
		{"socket reset", 2 * time.Second, 5 * time.Second, 0, func(f *fake, _ *socket) { f.cut() }},
		{"half-open", 25 * time.Second, 30 * time.Second, 0, func(f *fake, s *socket) {
			f.set(func() { f.silent = true })
			time.AfterFunc(26*time.Second, func() { f.set(func() { f.silent = false }) })
		}},
		{"expired token", time.Second, 3 * time.Second, 1, func(f *fake, _ *socket) {
			f.next(wssPath, answer{403, "", `{"message":"The security token included in the request is expired"}`, nil})
			f.cut()
		}},
		{"throttled control plane", 15 * time.Second, time.Minute, 0, func(f *fake, _ *socket) {
			f.next(wssPath, answer{404, "ResourceNotFoundException", "{}", nil}) // so that the control plane is needed
			f.next(describePath, answer{400, "ClientLimitExceededException", "{}", nil})
			f.cut()
		}},
		{"GO_AWAY", 0, 0, 0, func(_ *fake, s *socket) {
			_ = s.WriteMessage(websocket.TextMessage, []byte(`{"messageType":"GO_AWAY"}`))
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var took []time.Duration
			for range 50 {
				synctest.Test(t, func(t *testing.T) { took = append(took, recovery(t, tt.fault, tt.failures)) })
			}
			slices.Sort(took)
			p50, p99 := took[25], took[49]
			t.Logf("%-24s p50 %6v, p99 %6v (goals %v, %v)", tt.name, p50.Round(10*time.Millisecond),
				p99.Round(10*time.Millisecond), tt.p50, tt.p99)
			if p50 > tt.p50 || p99 > tt.p99 {
				t.Errorf("p50 %v, p99 %v; want at most %v, %v", p50, p99, tt.p50, tt.p99)
			}
		})
	}
}

// recovery returns the time from the fault, or from the failure that it causes, until a message arrives again; 0 when
// there was always a session.
func recovery(t *testing.T, fault func(*fake, *socket), failures int) time.Duration {
	f := newFake(t)
	opts := f.start()
	opts.Rand = nil
	opts.Credentials = aws.NewCredentialsCache(opts.Credentials)
	r := run(t, opts)
	expect[signaling.Connected](r)
	s := f.socket()
	time.Sleep(7*time.Minute + rand.N(15*time.Second)) // anywhere between two pings
	start := time.Now()
	fault(f, s)
	down := false
	for {
		select {
		case e := <-r.events:
			switch e.(type) {
			case signaling.Disconnected:
				if down && failures > 0 {
					failures--
					start = time.Now()
				}
				down = true
			case signaling.Connected:
				f.socket().say(t, message("SDP_OFFER", "v", offer))
				expect[signaling.Received](r)
				if !down { // replaced while it was working: no outage
					return 0
				}
				return time.Since(start)
			}
		case <-time.After(time.Hour):
			t.Fatal("not connected again")
		}
	}
}

// A day later the client asks for the channel again. When the control plane cannot answer, it keeps using the old
// answer.
func TestOldKnowledgeServesWhenTheControlPlaneIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		r := run(t, f.start())
		expect[signaling.Connected](r)
		f.set(func() { f.always[describePath] = answer{503, "", "", nil} })
		time.Sleep(25 * time.Hour) // replaced each hour, with what is cached for a day
		if n := f.count(describePath); n < 2 {
			t.Errorf("%d describes in 25 hours, want the channel to be asked for again after a day", n)
		}
		for len(r.events) > 0 {
			if e, ok := (<-r.events).(signaling.Disconnected); ok {
				t.Errorf("disconnected: %v", e.Err)
			}
		}
	})
}

// Waits start over after a healthy session, also when it was replaced and not lost.
func TestWaitsBeginAnewAfterAReplacedSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		r := run(t, f.start())
		expect[signaling.Connected](r)
		lose := func() time.Duration {
			f.cut()
			wait := expect[signaling.Disconnected](r).RetryIn
			expect[signaling.Connected](r)
			return wait
		}
		for range 8 {
			lose()
		}
		if w := lose(); w != 30*time.Second {
			t.Fatalf("wait %v, want the longest", w)
		}
		expect[signaling.Connected](r) // replaced at its age
		if w := lose(); w != time.Second {
			t.Errorf("wait %v, want 1s", w)
		}
	})
}

func TestNetworkChangeEndsTheWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		f.down = true
		opts := f.start()
		opts.Rand = func() float64 { return 0.999 }
		r := run(t, opts)
		for expect[signaling.Disconnected](r).RetryIn < 50*time.Second {
		}
		f.set(func() { f.down = false })
		start := time.Now()
		for range 5 { // addresses and routes come one after another
			r.NetworkChanged()
			time.Sleep(time.Second)
		}
		expect[signaling.Connected](r)
		if d := time.Since(start); d < 5*time.Second || d > 6*time.Second {
			t.Errorf("connected after %v, want once it has settled", d)
		}
	})
}

func TestNetworkChangeUnderASession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		r := run(t, f.start())
		expect[signaling.Connected](r)
		time.Sleep(time.Second)
		r.NetworkChanged() // harmless
		time.Sleep(time.Hour / 2)
		f.set(func() { f.silent = true })
		start := time.Now()
		r.NetworkChanged()
		expect[signaling.Disconnected](r)
		if d := time.Since(start); d > 3*time.Second {
			t.Errorf("noticed after %v", d)
		}
		f.set(func() { f.silent = false })
		expect[signaling.Connected](r)
	})
}

// A proxy refuses; the error names it and says what to do.
func TestProxyThatRefuses(t *testing.T) {
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusProxyAuthRequired)
	}))
	defer proxy.Close()
	opts := newFake(t).start()
	opts.DialContext, opts.Endpoint = nil, "https://kvs.test"
	opts.Proxy = func(*http.Request) (*url.URL, error) { return url.Parse(proxy.URL) }
	r := run(t, opts)
	if got := expect[signaling.Disconnected](r); !strings.Contains(got.Err.Error(), "Proxy Authentication Required") {
		t.Errorf("err = %v", got.Err)
	}
	_ = r.stop()
}

// An address that has gone from DNS is forgotten, once, and the channel is looked up again.
func TestAddressThatIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		f.next(endpointPath,
			answer{200, "",
				`{"ResourceEndpointList":[{"Protocol":"HTTPS","ResourceEndpoint":"http://kvs.test"},{"Protocol":"WSS","ResourceEndpoint":"ws://old.test"}]}`, nil})
		opts := f.start()
		reach := opts.DialContext
		var gone atomic.Bool
		opts.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			if gone.Load() && strings.HasPrefix(addr, "old.test") {
				return nil, &net.OpError{Op: "dial",
					Err: &net.DNSError{Err: "no such host", Name: "old.test", IsNotFound: true}}
			}
			return reach(ctx, network, addr)
		}
		r := run(t, opts)
		expect[signaling.Connected](r)
		gone.Store(true)
		f.cut()
		expect[signaling.Disconnected](r)
		if got := expect[signaling.Disconnected](r); got.RetryIn != 0 ||
			!strings.Contains(got.Err.Error(), "no such host") {
			t.Errorf("%v, retry in %v; want at once", got.Err, got.RetryIn)
		}
		expect[signaling.Connected](r)
		if n := f.count(describePath); n != 2 {
			t.Errorf("%d describes, want 2", n)
		}
	})
}

// The session ends while its replacement is being dialled: the client waits for that one, and dials no second one.
func TestSessionEndsWhileItsReplacementIsDialled(t *testing.T) {
	for _, ok := range []bool{true, false} {
		t.Run(map[bool]string{true: "which comes", false: "which fails"}[ok], func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake(t)
				opts := f.start()
				reach := opts.DialContext
				var slow atomic.Bool
				opts.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
					if slow.Load() {
						time.Sleep(5 * time.Second)
						if !ok {
							return nil, &net.OpError{Op: "dial", Err: errors.New("no route")}
						}
					}
					return reach(ctx, network, addr)
				}
				r := run(t, opts)
				expect[signaling.Connected](r)
				old := f.socket()
				slow.Store(true)
				old.say(t, `{"messageType":"GO_AWAY"}`)
				time.Sleep(time.Second)
				old.Close()
				if got := expect[signaling.Disconnected](r); got.RetryIn != 0 ||
					r.Report().State != signaling.Connecting {
					t.Errorf("%+v, state %s", got, r.Report().State)
				}
				if ok {
					if got := expect[signaling.Connected](r); got.Generation != 2 || f.count(wssPath) != 2 {
						t.Errorf("generation %d, %d dials", got.Generation, f.count(wssPath))
					}
					return
				}
				if got := expect[signaling.Disconnected](r); !strings.Contains(got.Err.Error(), "no route") ||
					got.RetryIn == 0 {
					t.Errorf("%+v", got)
				}
				slow.Store(false)
				expect[signaling.Connected](r)
			})
		})
	}
}

// TestClockStepsByADay: this host's clock is set a day forwards or back while the client runs. Running sessions do not
// notice, since waits and ages are measured by the monotonic clock. The next request is refused once for its time and
// is repeated at once. For the client it makes no difference whether its own clock steps or all others do; the fake
// does the latter.
// TestClockIsSlewed: the clock of this host runs 500 ppm beside the service's for a day, as fast as NTP slews one.
// Nothing is refused, nobody connects more often, and the log has no line of it.
func TestClockIsSlewed(t *testing.T) {
	for _, ppm := range []time.Duration{500, -500} {
		synctest.Test(t, func(t *testing.T) {
			f := newFake(t)
			f.strict = true
			r := run(t, f.start())
			expect[signaling.Connected](r)
			for minute := range time.Duration(24 * 60) {
				f.set(func() { f.skew = minute * time.Minute * ppm / 1_000_000 })
				time.Sleep(time.Minute)
				if minute%60 == 0 {
					if _, err := r.ICEServers(t.Context()); err != nil {
						t.Errorf("after %d min: %v", minute, err)
					}
				}
			}
			if n := f.count(wssPath); n > 1+24*60/45 {
				t.Errorf("%d WebSockets in a day", n)
			}
			if log := r.logged.String(); strings.Contains(log, "WARN") || strings.Contains(log, "clock") {
				t.Errorf("the log has\n%s", log)
			}
		})
	}
}

func TestClockStepsByADay(t *testing.T) {
	for _, step := range []time.Duration{24 * time.Hour, -24 * time.Hour} {
		t.Run(step.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake(t)
				f.strict = true
				r := run(t, f.start())
				expect[signaling.Connected](r)
				if _, err := r.ICEServers(t.Context()); err != nil {
					t.Fatal(err)
				}
				f.set(func() { f.skew = -step })
				before := f.requests.Load()
				time.Sleep(10 * time.Minute)
				if n := f.requests.Load() - before; n != 0 || len(r.events) != 0 {
					t.Errorf("%d requests and %d events by the step alone", n, len(r.events))
				}
				start := time.Now()
				if servers, err := r.ICEServers(t.Context()); err != nil || len(servers) != 1 ||
					time.Since(start) > time.Second {
					t.Errorf("%d ICE servers, %v, after %v", len(servers), err, time.Since(start))
				}
				f.cut()
				expect[signaling.Disconnected](r)
				expect[signaling.Connected](r)
				if n := f.requests.Load() - before; n != 3 || time.Since(start) > 2*time.Second {
					t.Errorf("%d requests, connected %v after the cut; want one of each kind and one refused, within "+
						"the spread", n, time.Since(start))
				}
				time.Sleep(24 * time.Hour)
				if n := f.count(wssPath); n > 2+24*60/45+1 {
					t.Errorf("%d WebSockets in a day", n)
				}
				_ = r.stop()
				if n := strings.Count(r.logged.String(), "clock is wrong"); n != 1 {
					t.Errorf("%d lines about the clock, want 1", n)
				}
			})
		})
	}
}
