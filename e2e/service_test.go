package e2e

import (
	"context"
	"log/slog"
	"testing"

	"github.com/kvsagent/kvsagent/localkvs"
)

// startService runs localkvs inside the test, so that the test can set its faults.
func startService(t *testing.T) *localkvs.Server {
	t.Helper()
	return startServiceWith(t, localkvs.Options{Listen: "127.0.0.1:0"})
}

func startServiceWith(t *testing.T, o localkvs.Options) *localkvs.Server {
	t.Helper()
	log := &transcript{}
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
			t.Logf("localkvs\n%s", tail(log.String()))
		}
	})
	return service
}
