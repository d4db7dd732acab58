package agent

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kvsagent/kvsagent/media"
	"github.com/kvsagent/kvsagent/media/onvif"
)

// still is a source that only runs.
type still struct{}

func (still) Run(ctx context.Context, _ media.Sink) error { <-ctx.Done(); return nil }

// TestACameraThatRefusesIsLeftAlone: any number of requests causes one attempt, so that a wrong password does not lock
// the camera's account.
func TestACameraThatRefusesIsLeftAlone(t *testing.T) {
	var asked atomic.Int32
	asking := make(chan struct{}, 100)
	camera := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.WriteHeader(http.StatusUnauthorized)
		asking <- struct{}{}
	}))
	defer camera.Close()
	stream, err := onvif.NewStream(camera.URL+"/onvif/device_service", onvif.Login{Username: "u", Password: "wrong"},
		"rtsp://127.0.0.1/1")
	if err != nil {
		t.Fatal(err)
	}
	s := withKeyFrames(still{}, stream, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx, nil) }()
	if !s.MakesKeyFrames() {
		t.Error("it was not asked yet, and makes no key frames")
	}
	s.RequestKeyFrame()
	for end := time.Now().Add(10 * time.Second); s.MakesKeyFrames(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it has refused, and is said to make key frames")
		}
	}
	tries := asked.Load()
	for range 100 {
		s.RequestKeyFrame()
		time.Sleep(time.Millisecond)
	}
	if n := asked.Load(); n != tries {
		t.Errorf("it was asked %d times more", n-tries)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestACameraThatRefusesIsAskedAgain: after a while.
func TestACameraThatRefusesIsAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := withKeyFrames(still{}, nil, slog.New(slog.DiscardHandler))
		s.until.Store(time.Now().Add(keyPause).Unix())
		if s.MakesKeyFrames() {
			t.Error("it is not left alone")
		}
		time.Sleep(keyPause + time.Second)
		if !s.MakesKeyFrames() {
			t.Error("it is left alone for ever")
		}
	})
}
