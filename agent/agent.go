// Package agent composes the daemon: one supervised signaling channel for each entry of the config, one peer for each
// remote client and one hub for each source.
//
//	config --Apply--> sources (a media.Hub and a peer.Broadcast each)
//	                  channels (a signaling.Client and its sessions each)
//
//	signaling.Client --Event--> channel --Signal--> peer.Conn      and back by Client.Send
//
// The goroutine of a channel owns its sessions. This package decodes no media and does not know the wire format.
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

// Options holds what an agent needs besides its config.
type Options struct {
	Version string
	Started func()       // called once, when everything in the first config is running; may be nil
	Log     *slog.Logger // nil discards
}

// Agent serves the sources and channels of a config.
type Agent struct {
	o       Options
	log     *slog.Logger
	started time.Time
	ended   chan error // 1 slot: why this process must be started again
	times   stageTimes
	decoder *snapshot.Decoder

	mu       sync.Mutex // guards the fields below
	network  *network   // nil until the first config is applied
	sources  map[string]*source
	channels map[string]*channel
}

// New returns an agent that serves nothing yet.
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

// Run serves cfg, and then each config that arrives on reload, until ctx is done. A channel or source whose part of the
// config has not changed is left alone. Run returns an error when the first config cannot be served, or when a camera
// can be opened only after a restart of the process. A later config that cannot be served is logged, and the agent
// keeps the one it has.
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
		case <-a.socketLost():
			return a.socketError()
		case cfg := <-reload:
			if err := a.apply(ctx, cfg); err != nil {
				a.log.Error("new config not applied", "err", err)
				continue
			}
			a.log.Info("new config applied")
		}
	}
}

// socketLost is closed when the socket of all media is of no more use. Run ends then, and the service manager starts
// the process again: that takes a moment, finds whatever else is wrong with this process's descriptors mended, and
// viewers come back by themselves.
func (a *Agent) socketLost() <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.network == nil {
		return nil
	}
	return a.network.engine.Failed()
}

func (a *Agent) socketError() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return fmt.Errorf("%w; hint: the agent must be started again, which systemd does", a.network.engine.Err())
}

// networkChanged makes every channel check its connection or try again at once, and every session look for another
// path.
func (a *Agent) networkChanged() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, ch := range a.channels {
		ch.client.NetworkChanged()
		ch.networkChanged()
	}
}

// apply makes what runs match cfg: it stops what has changed or is no longer wanted, and starts what is missing.
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

// prepareSources returns the sources of cfg. It keeps those that have not changed, and starts nothing.
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

// stopLocked ends all channels in parallel, then the sources, then the socket that they share.
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
