package signaling_test

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/kvsagent/kvsagent/signaling"
)

// Each failure is one line that says what, where and what to do, and leads to the right next attempt.
func TestFailureInTheOwnersWords(t *testing.T) {
	clock := `{"message":"Signature expired: 20260101T000000Z is now earlier than 20260101T010000Z"}`
	for _, tt := range []struct {
		name   string
		path   string
		answer answer
		words  []string
		wait   time.Duration // with a random number of one half
	}{
		{"no such channel", describePath, answer{404, "ResourceNotFoundException", `{"Message":"nope"}`, nil},
			[]string{"DescribeSignalingChannel", "404 ResourceNotFoundException: nope",
				`create the channel "cam1" in us-west-2, or set create: true`, "request req-1"}, time.Minute},
		{"describe not allowed", describePath, answer{403, "AccessDeniedException", `{"message":"no"}`, nil},
			[]string{"403 AccessDeniedException", "kinesisvideo:DescribeSignalingChannel", "IAM"}, 0},
		{"connect not allowed", wssPath, answer{403, "AccessDeniedException", `{"message":"no"}`, nil},
			[]string{"403 AccessDeniedException", "kinesisvideo:ConnectAsMaster", "IAM"}, 0},
		{"token expired", wssPath,
			answer{403, "", `{"message":"The security token included in the request is expired"}`, nil},
			[]string{"ConnectAsMaster", "session token has expired"}, 0},
		{"unknown key", describePath, answer{403, "UnrecognizedClientException",
			`{"message":"The security token included in the request is invalid."}`, nil},
			[]string{"access key is not valid"}, 0},
		{"wrong secret", describePath, answer{403, "InvalidSignatureException",
			`{"message":"The request signature we calculated does not match"}`, nil},
			[]string{"wrong secret access key"}, 0},
		{"clock", describePath, answer{403, "InvalidSignatureException", clock, nil}, []string{"clock of this host"},
			0},
		{"clock at the upgrade", wssPath, answer{403, "", clock, nil},
			[]string{"ConnectAsMaster", "clock of this host"}, 0},
		{"throttled", describePath, answer{400, "ClientLimitExceededException", `{"message":"slow"}`, nil},
			[]string{"tried more slowly"}, 8 * time.Second},
		{"too many connects", wssPath, answer{400, "ClientLimitExceededException", `{"message":"slow"}`, nil},
			[]string{"ConnectAsMaster", "tried more slowly"}, 8 * time.Second},
		{"429", wssPath, answer{429, "", "", nil}, []string{"429"}, 8 * time.Second},
		{"503 that says when", wssPath, answer{503, "", "", http.Header{"Retry-After": {"20"}}}, []string{"503"},
			21 * time.Second},
		{"503 that says in a year", wssPath, answer{503, "", "", http.Header{"Retry-After": {"31536000"}}},
			[]string{"503"}, 5*time.Minute + time.Second},
		{"500", describePath, answer{500, "", "<html>\noops</html>", nil}, []string{"status 500"}, time.Second / 2},
		{"426", wssPath, answer{426, "", "", nil}, []string{"426"}, time.Minute},
		{"captive portal", wssPath, answer{302, "", "", http.Header{"Location": {"http://login.test/"}}},
			[]string{"302", "captive portal"}, 45 * time.Second},
		{"bad argument", wssPath, answer{400, "InvalidArgumentException", `{"message":"no"}`, nil},
			[]string{"400 InvalidArgumentException: no"}, time.Minute},
		{"empty answer", describePath, answer{200, "", "", nil}, []string{"DescribeSignalingChannel: bad answer"},
			time.Minute},
		{"not JSON", describePath, answer{200, "", "hello", nil}, []string{"DescribeSignalingChannel: bad answer"},
			time.Minute},
		{"no endpoints", endpointPath, answer{200, "", "{}", nil}, []string{"GetSignalingChannelEndpoint: bad answer"},
			time.Minute},
		{"huge answer", describePath, answer{200, "", `{"x":"` + strings.Repeat("x", 1<<20) + `"}`, nil},
			[]string{"bad answer", "too long"}, time.Minute},
		{"deleting", describePath, answer{200, "", `{"ChannelInfo":{"ChannelARN":"x","ChannelStatus":"DELETING"}}`,
			nil}, []string{"being deleted"}, time.Second / 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake(t)
				f.next(tt.path, tt.answer)
				r := run(t, f.start())
				got := expect[signaling.Disconnected](r)
				for _, w := range tt.words {
					if !strings.Contains(got.Err.Error(), w) {
						t.Errorf("err = %v, want %q in it", got.Err, w)
					}
				}
				if strings.ContainsAny(got.Err.Error(), "\n\r") || len(got.Err.Error()) > 500 {
					t.Errorf("not one line: %q", got.Err)
				}
				if got.RetryIn != tt.wait {
					t.Errorf("retry in %v, want %v; %v", got.RetryIn, tt.wait, got.Err)
				}
				expect[signaling.Connected](r) // the daemon goes on
			})
		})
	}
}

func TestFailureBelowHTTP(t *testing.T) {
	dial := func(err error) func(context.Context, string, string) (net.Conn, error) {
		return func(context.Context, string, string) (net.Conn, error) {
			return nil, &net.OpError{Op: "dial", Net: "tcp", Err: err}
		}
	}
	for _, tt := range []struct {
		name   string
		change func(*signaling.Options)
		words  []string
	}{
		{"no such host", func(o *signaling.Options) {
			o.DialContext = dial(&net.DNSError{Err: "no such host", Name: "kinesisvideo.us-wst-2.amazonaws.com",
				IsNotFound: true})
			o.Region = "us-wst-2"
		}, []string{"no such host", `is "us-wst-2" the right region`}},
		{"no keys", func(o *signaling.Options) {
			o.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
				return aws.Credentials{}, errors.New("nothing found")
			})
		}, []string{"no AWS credentials: nothing found"}},
		{"keys that never come", func(o *signaling.Options) {
			o.Credentials = aws.CredentialsProviderFunc(func(ctx context.Context) (aws.Credentials, error) {
				<-ctx.Done()
				return aws.Credentials{}, ctx.Err()
			})
		}, []string{"no AWS credentials: context deadline exceeded"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				opts := newFake(t).start()
				tt.change(&opts)
				r := run(t, opts)
				for range 20 { // any number of times
					got := expect[signaling.Disconnected](r)
					for _, w := range tt.words {
						if !strings.Contains(got.Err.Error(), w) {
							t.Errorf("err = %v, want %q in it", got.Err, w)
						}
					}
				}
				_ = r.stop()
				if n := strings.Count(r.logged.String(), "signaling not connected"); n > 2 {
					t.Errorf("%d log lines for one failure of 20 tries", n)
				}
			})
		})
	}
}

// Over real sockets, with TLS: a CA that is not ours, and ours.
func TestTLS(t *testing.T) {
	f := newFake(t)
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 1 {
			t.Errorf("protocol %s, want HTTP/1.1", r.Proto)
		}
		if r.URL.Path == endpointPath {
			_, _ = w.Write([]byte(`{"ResourceEndpointList":[{"Protocol":"HTTPS","ResourceEndpoint":"https://` + r.Host +
				`"},{"Protocol":"WSS","ResourceEndpoint":"wss://` + r.Host + `"}]}`))
			return
		}
		f.ServeHTTP(w, r)
	}))
	defer srv.Close()
	srv.Config.ErrorLog = nil
	opts := f.start()
	opts.Endpoint, opts.DialContext = srv.URL, nil

	strange := run(t, opts)
	got := expect[signaling.Disconnected](strange)
	if !strings.Contains(got.Err.Error(), "ca_file") || got.RetryIn < 30*time.Second {
		t.Errorf("%v, retry in %v; want a word on ca_file and at least 30s", got.Err, got.RetryIn)
	}
	_ = strange.stop()

	opts.RootCAs = x509.NewCertPool()
	opts.RootCAs.AddCert(srv.Certificate())
	r := run(t, opts)
	expect[signaling.Connected](r)
	s := f.socket()
	s.say(t, message("SDP_OFFER", "v", offer))
	expect[signaling.Received](r)
	if _, err := r.ICEServers(t.Context()); err != nil {
		t.Error(err)
	}
	_ = r.stop()
}

func TestHTTPSEndpointThatSpeaksHTTP(t *testing.T) {
	f := newFake(t)
	srv := httptest.NewServer(f)
	defer srv.Close()
	opts := f.start()
	opts.Endpoint, opts.DialContext = strings.Replace(srv.URL, "http:", "https:", 1), nil
	r := run(t, opts)
	if got := expect[signaling.Disconnected](r); !strings.Contains(got.Err.Error(), "http, not https") {
		t.Errorf("err = %v", got.Err)
	}
	_ = r.stop()
}

func TestProxy(t *testing.T) {
	f := newFake(t)
	opts := f.start()
	reach := opts.DialContext
	var connects []string
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodConnect {
			r.RequestURI = "" // plain http through a proxy: relayed as a request
			f.ServeHTTP(w, r)
			return
		}
		connects = append(connects, r.Host)
		up, err := reach(r.Context(), "tcp", r.Host)
		if err != nil {
			t.Error(err)
			return
		}
		defer up.Close()
		w.WriteHeader(http.StatusOK)
		down, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer down.Close()
		go copyThen(up, down)
		copyThen(down, up)
	}))
	defer proxy.Close()
	opts.DialContext = nil
	opts.Proxy = func(*http.Request) (*url.URL, error) { return url.Parse(proxy.URL) }
	r := run(t, opts)
	expect[signaling.Connected](r)
	_ = r.stop()
	f.cut()
	if len(connects) != 1 || connects[0] != "kvs.test:80" {
		t.Errorf("CONNECT %v, want the WebSocket's one", connects)
	}
}

func copyThen(dst, src net.Conn) {
	buf := make([]byte, 4096)
	for {
		n, err := src.Read(buf)
		if _, werr := dst.Write(buf[:n]); err != nil || werr != nil {
			dst.Close()
			return
		}
	}
}

func TestExpiredTokenIsReplacedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		f.next(wssPath, answer{403, "", `{"message":"The security token included in the request is expired"}`, nil})
		opts := f.start()
		asked := 0
		opts.Credentials = aws.NewCredentialsCache(aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials,
			error) {
			asked++
			return aws.Credentials{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "canary", CanExpire: true,
				Expires: time.Now().Add(time.Hour)}, nil
		}))
		start := time.Now()
		r := run(t, opts)
		expect[signaling.Disconnected](r)
		expect[signaling.Connected](r)
		if asked != 2 || time.Since(start) > time.Second {
			t.Errorf("keys fetched %d times, connected after %v; want 2, at once", asked, time.Since(start))
		}
	})
}

func TestWrongClockIsCorrected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		f.skew = 25 * time.Hour // the service is right, we are a day behind
		r := run(t, f.start())
		expect[signaling.Connected](r)
		s := f.socket()
		q, _ := url.ParseQuery(s.query)
		at, err := time.Parse("20060102T150405Z", q.Get("X-Amz-Date"))
		if d := at.Sub(time.Now().Add(f.skew)); err != nil || d.Abs() > 2*time.Second {
			t.Errorf("signed at %v (%v), %v off the service's clock", at, err, d)
		}
		f.set(func() { f.skew = 0 }) // NTP has corrected it
		f.cut()
		expect[signaling.Disconnected](r)
		expect[signaling.Connected](r)
		f.next(wssPath, answer{status: 500})
		_ = r.stop()
		if n := strings.Count(r.logged.String(), "clock is wrong"); n != 1 {
			t.Errorf("%d lines about the clock, want 1: %s", n, r.logged)
		}
	})
}

// TestClockAfterRefusals: the keys are refused again and again, and have long waits behind them, when the clock is set
// wrongly besides. The answer that says so is followed at once.
func TestClockAfterRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		f.strict = true
		refusal := answer{status: 403, code: "AccessDeniedException"}
		f.next(wssPath, refusal, refusal, refusal)
		opts := f.start()
		r := run(t, opts)
		for range 3 {
			expect[signaling.Disconnected](r)
		}
		f.set(func() { f.skew = time.Hour })
		if got := expect[signaling.Disconnected](r); got.RetryIn != 0 {
			t.Errorf("retry in %v, want at once: %v", got.RetryIn, got.Err)
		}
		expect[signaling.Connected](r)
	})
}

func TestCreate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		creating := answer{200, "", `{"ChannelInfo":{"ChannelARN":"x","ChannelStatus":"CREATING"}}`, nil}
		f.next(describePath, answer{404, "ResourceNotFoundException", "{}", nil}, creating, creating)
		f.next(createPath, answer{400, "ResourceInUseException", "{}", nil}) // somebody else created it first
		opts := f.start()
		opts.Create, opts.TTL, opts.Tags = true, 30*time.Second, map[string]string{"site": "gate"}
		r := run(t, opts)
		expect[signaling.Connected](r)
		if n := f.count(createPath); n != 1 {
			t.Errorf("%d creates, want 1", n)
		}
		sameJSON(t, f.last[createPath].body,
			`{"ChannelName":"cam1","ChannelType":"SINGLE_MASTER","SingleMasterConfiguration":{"MessageTtlSeconds":30},"Tags":[{"Key":"site","Value":"gate"}]}`)
	})
}

func TestControlPlaneIsAskedWithinItsBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		f.always[describePath] = answer{500, "", "", nil}
		opts := f.start()
		opts.Rand = nil
		r := run(t, opts)
		time.Sleep(time.Hour)
		if n := f.count(describePath); n > 66 || n < 30 {
			t.Errorf("%d describes in an hour, want 6 and one a minute at most", n)
		}
		for range 50 {
			if got := expect[signaling.Disconnected](r); !strings.Contains(got.Err.Error(), "status 500") {
				t.Errorf("err = %v, want the cause in it", got.Err)
			}
		}
	})
}

// A permanent failure whose every answer has another request ID is logged once an hour, and the quick first retry is
// not logged.
func TestPermanentFailureIsNotAFloodOfLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		f.set(func() { f.always[describePath] = answer{403, "AccessDeniedException", `{"message":"no"}`, nil} })
		r := run(t, f.start())
		time.Sleep(2 * time.Hour)
		_ = r.stop()
		n := strings.Count(r.logged.String(), "signaling not connected")
		if n < 2 || n > 3 || strings.Contains(r.logged.String(), "retry=0s") {
			t.Errorf("%d lines in two hours: %s", n, r.logged)
		}
	})
}

// TestADayWithoutAWS: a day without the service is one line an hour, and one at its end.
func TestADayWithoutAWS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		f.set(func() { f.down = true })
		r := run(t, f.start())
		time.Sleep(24 * time.Hour)
		f.set(func() { f.down = false })
		time.Sleep(10 * time.Minute)
		state := r.Report().State
		_ = r.stop()
		if n := strings.Count(r.logged.String(), "\n"); n < 20 || n > 30 ||
			strings.Count(r.logged.String(), "signaling connected") != 1 || state != signaling.Online {
			t.Errorf("%s after %d lines: %s", state, n, r.logged)
		}
	})
}

// The bodies of the requests, and how they are signed (KVS API reference).
func TestRequests(t *testing.T) {
	for _, tt := range []struct {
		role      signaling.Role
		id        string
		endpoints string
		ice       string
	}{
		{signaling.Master, "", `{"ChannelARN":"` + arn +
			`","SingleMasterChannelEndpointConfiguration":{"Protocols":["WSS","HTTPS"],"Role":"MASTER"}}`,
			`{"ChannelARN":"` + arn + `","Service":"TURN"}`},
		{signaling.Viewer, "v1", `{"ChannelARN":"` + arn +
			`","SingleMasterChannelEndpointConfiguration":{"Protocols":["WSS","HTTPS"],"Role":"VIEWER"}}`,
			`{"ChannelARN":"` + arn + `","ClientId":"v1","Service":"TURN"}`},
	} {
		t.Run(string(tt.role), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake(t)
				opts := f.start()
				opts.Role, opts.ClientID = tt.role, tt.id
				c, err := signaling.New(opts)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := c.ICEServers(t.Context()); err != nil {
					t.Fatal(err)
				}
				for path, want := range map[string]string{describePath: `{"ChannelName":"cam1"}`,
					endpointPath: tt.endpoints, icePath: tt.ice} {
					got := f.last[path]
					sameJSON(t, got.body, want)
					if a := got.header.Get("Authorization"); !strings.Contains(a,
						"/us-west-2/kinesisvideo/aws4_request") || !strings.Contains(a, "AKIDEXAMPLE/") {
						t.Errorf("%s: authorization %s", path, a)
					}
					if got.header.Get("Content-Type") != "application/json" ||
						got.header.Get("X-Amz-Security-Token") != "canary-token" {
						t.Errorf("%s: header %v", path, got.header)
					}
				}
				time.Sleep(time.Minute) // idle connections are closed
			})
		})
	}
}

func sameJSON(t *testing.T, got, want string) {
	t.Helper()
	var g, w any
	if err := json.Unmarshal([]byte(got), &g); err != nil {
		t.Errorf("%s: %v", got, err)
	}
	if err := json.Unmarshal([]byte(want), &w); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(g, w) {
		t.Errorf("body = %s, want %s", got, want)
	}
}
