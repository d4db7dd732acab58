package agent

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/kvsagent/kvsagent/config"
	"github.com/kvsagent/kvsagent/media"
	"github.com/kvsagent/kvsagent/media/file"
	"github.com/kvsagent/kvsagent/media/rtsp"
	"github.com/kvsagent/kvsagent/media/testpattern"
	"github.com/kvsagent/kvsagent/peer"
)

// source is one source of the config, with the hub and the broadcast that all its channels share.
type source struct {
	name      string
	cfg       config.Source
	hub       *media.Hub
	broadcast *peer.Broadcast

	cancel context.CancelFunc
	wg     sync.WaitGroup
}

func newSource(name string, c config.Source, log *slog.Logger) (*source, error) {
	src, err := openSource(c, log.With("source", name))
	if err != nil {
		return nil, err
	}
	hub := media.NewHub(media.HubOptions{
		Name: name, Source: src, KeepWarm: c.KeepWarm, Linger: c.Linger, Log: log,
		Backoff: func(failures int) time.Duration { return jittered(time.Second, 30*time.Second, failures) },
	})
	return &source{name: name, cfg: c, hub: hub, broadcast: peer.NewBroadcast(hub)}, nil
}

// openSource chooses the kind of source by the URL's scheme.
func openSource(c config.Source, log *slog.Logger) (media.Source, error) {
	scheme, _, _ := strings.Cut(c.URL, ":")
	switch scheme {
	case "rtsp":
		o, err := rtsp.Parse(c.URL)
		if err != nil {
			return nil, err
		}
		o.Username, o.Password, o.Log = c.Username, string(c.Password), log
		return rtsp.New(o)
	case "file":
		o, err := file.Parse(c.URL)
		if err != nil {
			return nil, err
		}
		o.Log = log
		return file.New(o)
	case "testpattern":
		o, err := testpattern.Parse(c.URL)
		if err != nil {
			return nil, err
		}
		o.Log = log
		return testpattern.New(o)
	}
	return nil, fmt.Errorf("%q is no kind of source; hint: rtsp://, file: or testpattern:", scheme)
}

func (s *source) start() {
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	s.wg.Go(func() { s.hub.Run(ctx) })
}

func (s *source) stop() {
	s.cancel()
	s.wg.Wait()
}

// publicURL is the source's URL without user and password.
func (s *source) publicURL() string {
	u, err := url.Parse(s.cfg.URL)
	if err != nil || u.User == nil {
		return s.cfg.URL
	}
	u.User = nil
	return u.String()
}

// jittered is full jitter with a floor: between a quarter of the step and the step, which doubles from first to most.
func jittered(first, most time.Duration, n int) time.Duration {
	step := most
	if n < 20 {
		step = min(first<<(n-1), most)
	}
	return step/4 + rand.N(step*3/4)
}
