// Package agent is the composition: one supervised signaling channel per entry of the config, one peer per remote
// client, one hub per source.
//
//	config --Apply--> sources (a media.Hub and a peer.Broadcast each)
//	                  channels (a signaling.Client and its sessions each)
//
//	signaling.Client --Event--> channel --Signal--> peer.Conn      and back by Client.Send
//
// One goroutine of a channel owns its sessions. Nothing here decodes media or knows the wire.
package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"sync"
	"time"

	"github.com/kvsagent/kvsagent/config"
	"github.com/kvsagent/kvsagent/internal/netwatch"
	"github.com/kvsagent/kvsagent/media/snapshot"
)

// Options is what an agent needs beside its config.
type Options struct {
	Version string
	Started func()       // called once, when everything in the first config runs; may be nil
	Log     *slog.Logger // nil is no log
}

// Agent serves the sources and channels of a config.
type Agent struct {
	o       Options
	log     *slog.Logger
	started time.Time
	ended   chan error // 1 slot: why this process has to be started again
	times   stageTimes
	decoder *snapshot.Decoder

	mu       sync.Mutex // guards the fields below
	network  *network   // nil before the first Apply
	sources  map[string]*source
	channels map[string]*channel
}

// New makes an agent that serves nothing yet.
func New(o Options) *Agent {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Agent{
		o: o, log: o.Log, started: time.Now(), ended: make(chan error, 1),
		decoder: snapshot.NewDecoder("ffmpeg", decoders, o.Log),
		sources: map[string]*source{}, channels: map[string]*channel{},
	}
}

// Run serves cfg, and then each config that reload brings, until ctx is done. A channel or source whose part of the
// config has not changed does not notice. It returns an error only when the first config cannot be served; a later one
// that cannot is logged, and the agent goes on with what it has; or when nothing but another start of this process
// opens a camera.
func (a *Agent) Run(ctx context.Context, cfg *config.Config, reload <-chan *config.Config) error {
	defer a.stop()
	watch, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop()
	wg.Go(func() { netwatch.Run(watch, a.log, a.networkChanged) })
	if err := a.apply(ctx, cfg); err != nil {
		return err
	}
	if a.o.Started != nil {
		a.o.Started()
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-a.ended:
			return err
		case cfg := <-reload:
			if err := a.apply(ctx, cfg); err != nil {
				a.log.Error("new config not applied", "err", err)
				continue
			}
			a.log.Info("new config applied")
		}
	}
}

// networkChanged tells all channels to look whether they are still connected, or to try again, and all sessions to look
// for another path.
func (a *Agent) networkChanged() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, ch := range a.channels {
		ch.client.NetworkChanged()
		ch.networkChanged()
	}
}

// apply makes what runs the same as what cfg wants: it stops what is no longer wanted or has changed, and starts what
// is missing.
func (a *Agent) apply(ctx context.Context, cfg *config.Config) error {
	wanted, err := newNetwork(ctx, cfg, a.log)
	if err != nil {
		return err
	}
	sources, err := a.prepareSources(cfg)
	if err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.network == nil || !a.network.same(wanted) {
		a.stopLocked()
		if err := wanted.open(); err != nil {
			return err
		}
		a.network = wanted
	}
	for name, ch := range a.channels {
		c, ok := cfg.Channels[name]
		if !ok || !reflect.DeepEqual(c, ch.cfg) || a.sources[c.Source] != sources[c.Source] {
			ch.stop()
			delete(a.channels, name)
		}
	}
	for name, s := range a.sources {
		if sources[name] != s {
			s.stop()
		}
	}
	for name, s := range sources {
		if a.sources[name] != s {
			s.start()
		}
	}
	a.sources = sources
	return a.startChannels(cfg)
}

func (a *Agent) startChannels(cfg *config.Config) error {
	var errs []error
	for name, c := range cfg.Channels {
		if a.channels[name] != nil {
			continue
		}
		ch, err := newChannel(name, c, a.network, a.sources[c.Source], &a.times, a.log)
		if err != nil {
			errs = append(errs, fmt.Errorf("channel %s: %w", name, err))
			continue
		}
		a.channels[name] = ch
		ch.start()
	}
	return errors.Join(errs...)
}

// prepareSources makes the sources of cfg, keeping those that have not changed. It starts nothing.
func (a *Agent) prepareSources(cfg *config.Config) (map[string]*source, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	out := map[string]*source{}
	for name, c := range cfg.Sources {
		if s := a.sources[name]; s != nil && reflect.DeepEqual(s.cfg, c) {
			out[name] = s
			continue
		}
		s, err := newSource(name, c, a.log, a.end)
		if err != nil {
			return nil, fmt.Errorf("source %s: %w", name, err)
		}
		out[name] = s
	}
	return out, nil
}

func (a *Agent) stop() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.stopLocked()
}

// stopLocked ends all channels at once, then the sources, then the socket under them.
func (a *Agent) stopLocked() {
	var wg sync.WaitGroup
	for _, ch := range a.channels {
		wg.Go(ch.stop)
	}
	wg.Wait()
	for _, s := range a.sources {
		s.stop()
	}
	a.channels, a.sources = map[string]*channel{}, map[string]*source{}
	if a.network != nil {
		a.network.close()
		a.network = nil
	}
}
