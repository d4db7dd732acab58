package rig

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/kvsagent/kvsagent/localkvs"
)

// Region is where all channels of the tests are, and the demo's.
const Region = "us-west-2"

// Keys are the access key that localkvs accepts, as AWS tools read it.
var Keys = []string{"AWS_ACCESS_KEY_ID=localkvs", "AWS_SECRET_ACCESS_KEY=localkvs", "AWS_REGION=" + Region,
	"AWS_DEFAULT_REGION=" + Region}

// KVS is a signaling service in a process of its own.
type KVS struct {
	URL    string // control plane over HTTP
	TLSURL string // and over HTTPS
	CA     string // file that a client of TLSURL must trust
	*Process
}

// StartKVS runs kvsagent localkvs on loopback, with these flags beside the usual ones.
func StartKVS(t testing.TB, flags ...string) *KVS {
	t.Helper()
	dir := t.TempDir()
	usual := []string{"localkvs", "--listen", "127.0.0.1:0", "--tls-listen", "127.0.0.1:0", "--tls-dir", dir}
	p := Start(t, Environment(), Binary, append(usual, flags...)...)
	return &KVS{
		URL:     p.Find(t, &p.Stdout, 10*time.Second, `http://127\.0\.0\.1:\d+`)[0],
		TLSURL:  p.Find(t, &p.Stdout, 10*time.Second, `https://127\.0\.0\.1:\d+`)[0],
		CA:      dir + "/ca.pem",
		Process: p,
	}
}

// StartService runs localkvs inside the test, so that the test can set its faults.
func StartService(t testing.TB) *localkvs.Server {
	t.Helper()
	return StartServiceWith(t, localkvs.Options{Listen: "127.0.0.1:0"})
}

// StartServiceWith runs localkvs inside the test with options of the test's; only the log is set here.
func StartServiceWith(t testing.TB, o localkvs.Options) *localkvs.Server {
	t.Helper()
	log := &Transcript{}
	o.Log = slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	service, err := localkvs.New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- service.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("localkvs: %v", err)
		}
		if t.Failed() {
			t.Logf("localkvs\n%s", Tail(log.String()))
		}
	})
	return service
}
