package signaling_test

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/kvsagent/kvsagent/signaling"
)

func TestOptions(t *testing.T) {
	good := signaling.Options{Channel: "cam1", Role: signaling.Master, Region: "eu-central-1",
		Credentials: staticKeys("x")}
	for _, tt := range []struct {
		name   string
		change func(*signaling.Options)
		words  []string // none: no error
	}{
		{"good", func(*signaling.Options) {}, nil},
		{"viewer", func(o *signaling.Options) { o.Role, o.ClientID = signaling.Viewer, "v" }, nil},
		{"nothing", func(o *signaling.Options) { *o = signaling.Options{} },
			[]string{`channel ""`, `role ""`, `region ""`, "no credentials"}},
		{"channel", func(o *signaling.Options) { o.Channel = "a/b" }, []string{`channel "a/b"`}},
		{"viewer without a name", func(o *signaling.Options) { o.Role = signaling.Viewer }, []string{`client id ""`}},
		{"reserved name", func(o *signaling.Options) { o.Role, o.ClientID = signaling.Viewer, "aWs_x" },
			[]string{"AWS_"}},
		{"master with a name", func(o *signaling.Options) { o.ClientID = "v" }, []string{"a master has none"}},
		{"region", func(o *signaling.Options) { o.Region = "eu-central-1.evil.test/" }, []string{"region"}},
		{"endpoint", func(o *signaling.Options) { o.Endpoint = "localhost:9790" },
			[]string{"endpoint", "hint: such as https://"}},
		{"ttl", func(o *signaling.Options) { o.TTL = time.Second }, []string{"message TTL 1s"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := good
			tt.change(&o)
			_, err := signaling.New(o)
			if (err == nil) != (tt.words == nil) {
				t.Fatalf("err = %v, want %v", err, tt.words)
			}
			for _, w := range tt.words {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("err = %v, want %q in it", err, w)
				}
			}
		})
	}
}

func TestSendRefusesWhatTheServiceWould(t *testing.T) {
	ok := []byte(`{}`)
	for _, tt := range []struct {
		name string
		role signaling.Role
		m    signaling.Message
		want string // "": sent
	}{
		{"answer", signaling.Master, signaling.Message{Type: signaling.SDPAnswer, ClientID: "v", Payload: ok}, ""},
		{"offer of a viewer", signaling.Viewer, signaling.Message{Type: signaling.SDPOffer, Payload: ok}, ""},
		{"longest", signaling.Master, signaling.Message{Type: signaling.SDPOffer, ClientID: strings.Repeat("v", 256),
			Payload: jsonOf(signaling.MaxPayloadText)}, ""},
		{"too long", signaling.Master, signaling.Message{Type: signaling.SDPOffer, ClientID: "v",
			Payload: jsonOf(signaling.MaxPayloadText + 1)},
			"payload is 10004 base64 characters, the service takes 10000"},
		{"type", signaling.Master, signaling.Message{Type: "GO_AWAY", ClientID: "v", Payload: ok}, `send "GO_AWAY"`},
		{"no recipient", signaling.Master, signaling.Message{Type: signaling.SDPOffer, Payload: ok}, "no recipient"},
		{"recipient of a viewer", signaling.Viewer,
			signaling.Message{Type: signaling.SDPOffer, ClientID: "v", Payload: ok}, "leave the recipient out"},
		{"bad recipient", signaling.Master, signaling.Message{Type: signaling.SDPOffer, ClientID: "a b", Payload: ok},
			"bad recipient"},
		{"long recipient", signaling.Master, signaling.Message{Type: signaling.SDPOffer,
			ClientID: strings.Repeat("v", 257), Payload: ok}, "bad recipient"},
		{"bad correlation id", signaling.Master,
			signaling.Message{Type: signaling.SDPOffer, ClientID: "v", Payload: ok, CorrelationID: "a b"},
			"bad correlation id"},
		{"empty", signaling.Master, signaling.Message{Type: signaling.SDPOffer, ClientID: "v"}, "empty payload"},
		{"not JSON", signaling.Master, signaling.Message{Type: signaling.SDPOffer, ClientID: "v",
			Payload: []byte("v=0")}, "not JSON"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := signaling.Options{Channel: "cam1", Role: tt.role, Region: "eu-central-1", Credentials: staticKeys("x")}
			if tt.role == signaling.Viewer {
				o.ClientID = "me"
			}
			c, err := signaling.New(o)
			if err != nil {
				t.Fatal(err)
			}
			err = c.Send(tt.m)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("err = %v, want %q", err, tt.want)
			}
			if sent := c.Report().Queued == 1; sent != (tt.want == "") {
				t.Errorf("queued = %v", sent)
			}
		})
	}
}

func jsonOf(n int) []byte { return []byte(`"` + strings.Repeat("x", n-2) + `"`) }

func TestRunTwiceAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := run(t, newFake(t).start())
		expect[signaling.Connected](r)
		if err := r.Run(t.Context(), func(signaling.Event) {}); err == nil {
			t.Error("no error")
		}
		if r.Report().State != signaling.Online {
			t.Errorf("state = %s", r.Report().State)
		}
	})
}

func TestRunAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		opts := f.start()
		c, err := signaling.New(opts)
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			ctx, cancel := context.WithCancel(t.Context())
			err := c.Run(ctx, func(e signaling.Event) {
				if _, ok := e.(signaling.Connected); ok {
					cancel()
				}
			})
			if err != nil || c.Report().State != signaling.Idle {
				t.Errorf("Run = %v, state %s", err, c.Report().State)
			}
		}
		if n := f.count(describePath); n != 1 {
			t.Errorf("%d describes, want 1", n)
		}
	})
}

func TestICEServersAreFetchedOnceForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		c, err := signaling.New(f.start())
		if err != nil {
			t.Fatal(err)
		}
		get := func() []signaling.ICEServer {
			s, err := c.ICEServers(t.Context())
			if err != nil || len(s) != 1 || len(s[0].URLs) != 1 || s[0].Password != "canary-password" {
				t.Errorf("servers = %v, %v", s, err)
			}
			return s
		}
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() { get() })
		}
		wg.Wait()
		if n, d := f.count(icePath), f.count(describePath); n != 1 || d != 1 {
			t.Errorf("%d fetches, %d describes for 50 peers; want 1, 1", n, d)
		}
		time.Sleep(269 * time.Second)
		if s := get(); s[0].TTL != 31*time.Second || f.count(icePath) != 1 {
			t.Errorf("TTL %v left after 269 s, %d fetches", s[0].TTL, f.count(icePath))
		}
		time.Sleep(2 * time.Second)
		if s := get(); s[0].TTL != 300*time.Second || f.count(icePath) != 2 {
			t.Errorf("TTL %v after 271 s, %d fetches", s[0].TTL, f.count(icePath))
		}
		// The service fails: the cached servers are used until they expire, and no longer.
		f.set(func() { f.always[icePath] = answer{status: 500} })
		time.Sleep(280 * time.Second)
		if s := get(); s[0].TTL != 20*time.Second {
			t.Errorf("TTL %v", s[0].TTL)
		}
		time.Sleep(20 * time.Second)
		if s, err := c.ICEServers(t.Context()); err == nil ||
			!strings.Contains(err.Error(), "GetIceServerConfig: status 500") {
			t.Errorf("servers = %v, %v; want an error", s, err)
		}
		time.Sleep(time.Minute) // idle connections are closed
	})
}

func TestICEServersThatNobodyCouldUse(t *testing.T) {
	for _, tt := range []struct {
		name, body string
		urls       int // 0: an error
	}{
		{"empty", `{}`, 0},
		{"none", `{"IceServerList":[]}`, 0},
		{"bad addresses", `{"IceServerList":[{"Ttl":300,"Uris":["http://x","turn:a b",""]}]}`, 0},
		{"not JSON", `hello`, 0},
		{"fifty",
			`{"IceServerList":[` +
				strings.TrimSuffix(strings.Repeat(`{"Ttl":300,"Uris":["turn:h:443"],"Username":"u","Password":"p"},`,
					50),
					",") + `]}`, 8},
		{"no time", `{"IceServerList":[{"Ttl":0,"Uris":["turn:h:443"]}]}`, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake(t)
				f.next(icePath, answer{status: 200, body: tt.body})
				c, err := signaling.New(f.start())
				if err != nil {
					t.Fatal(err)
				}
				s, err := c.ICEServers(t.Context())
				n := 0
				for _, one := range s {
					n += len(one.URLs)
				}
				if n != tt.urls || (err == nil) != (tt.urls > 0) {
					t.Errorf("%d URLs, %v; want %d", n, err, tt.urls)
				}
				time.Sleep(time.Minute)
			})
		})
	}
}

func TestReconnectICEServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		r := run(t, f.start())
		expect[signaling.Connected](r)
		s := f.socket()
		for range 3 {
			if _, err := r.ICEServers(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		s.say(t, `{"messageType":"RECONNECT_ICE_SERVER"}`)
		expect[signaling.ICEServersChanged](r)
		for range 3 {
			if _, err := r.ICEServers(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if n, w := f.count(icePath), f.count(wssPath); n != 2 || w != 1 {
			t.Errorf("%d fetches, %d dials; want 2, and the session kept", n, w)
		}
	})
}

func TestICEServerHidesItsPassword(t *testing.T) {
	s := signaling.ICEServer{URLs: []string{"turn:h"}, Username: "canary", Password: "canary"}
	var b strings.Builder
	slog.New(slog.NewJSONHandler(&b, nil)).Info("x", "one", s, "many", []signaling.ICEServer{s})
	if strings.Contains(b.String(), "canary") || !strings.Contains(b.String(), "turn:h") {
		t.Errorf("logged %s", b.String())
	}
}

func TestICEServersWithAnExpiredToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		f.next(icePath,
			answer{status: 403, body: `{"message":"The security token included in the request is expired"}`})
		opts := f.start()
		var asked int
		opts.Credentials = aws.NewCredentialsCache(aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials,
			error) {
			asked++
			return aws.Credentials{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "canary", CanExpire: true,
				Expires: time.Now().Add(time.Hour)}, nil
		}))
		c, err := signaling.New(opts)
		if err != nil {
			t.Fatal(err)
		}
		if s, err := c.ICEServers(t.Context()); err != nil || len(s) != 1 || asked != 2 {
			t.Errorf("servers %v, %v; keys fetched %d times, want 2", s, err, asked)
		}
		time.Sleep(time.Minute)
	})
}

func TestICEServersOfAServiceThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		f.set(func() { f.always[icePath] = answer{status: 500} })
		c, err := signaling.New(f.start())
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				if _, err := c.ICEServers(t.Context()); err == nil {
					t.Error("no error")
				}
			})
		}
		wg.Wait()
		if n := f.count(icePath); n != 1 {
			t.Errorf("%d requests for 50 peers at once, want 1", n)
		}
		f.set(func() { clear(f.always) })
		time.Sleep(time.Second)
		if _, err := c.ICEServers(t.Context()); err != nil {
			t.Errorf("a second later: %v", err)
		}
		time.Sleep(time.Minute)
	})
}
