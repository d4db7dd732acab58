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
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/kvsagent/kvsagent/config"
	"github.com/kvsagent/kvsagent/credentials"
	"github.com/kvsagent/kvsagent/internal/netwatch"
	"github.com/kvsagent/kvsagent/internal/pulse"
	"github.com/kvsagent/kvsagent/media/snapshot"
	"github.com/kvsagent/kvsagent/status"
)

// Options holds what an agent needs besides its config.
type Options struct {
	Version string
	Started func() // called once, when everything in the first config is running; may be nil
	// Applied is called after each config that came on reload; may be nil.
	Applied func(cfg *config.Config, err error)
	Crashes *Crashes     // nil: none are remembered, and there is no safe mode
	Log     *slog.Logger // nil discards
}

// Agent serves the sources and channels of a config.
type Agent struct {
	o       Options
	log     *slog.Logger
	started time.Time
	ended   chan error   // 1 slot: why this process must be started again
	beat    *pulse.Pulse // of Run
	times   stageTimes
	decoder *snapshot.Decoder

	keys     credentials.Switch // of all signaling clients
	cfg      *config.Config     // that runs; owned by Run
	retired  []*network         // whose sockets some sessions still use; owned by Run
	stopping sync.WaitGroup     // of what takes longer to stop than anybody waits

	mu       sync.Mutex // guards the fields below, which Run writes; nothing is waited for with it held
	network  *network   // nil until the first config is applied
	sources  map[string]*source
	channels map[string]*channel
	reload   status.Reload // the last one
}

// New returns an agent that serves nothing yet.
func New(o Options) *Agent {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Agent{
		o: o, log: o.Log, started: time.Now(), ended: make(chan error, 1), beat: pulse.New(),
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
	a.noteReload(nil)
	if a.o.Started != nil {
		a.o.Started()
	}
	var normal <-chan time.Time // when safe mode ends
	if left := a.o.Crashes.left(); left > 0 {
		a.log.Error("safe mode", "why", a.o.Crashes.Safe())
		normal = time.After(left + time.Second)
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-normal:
			a.log.Info("safe mode is over", "err", a.apply(ctx, a.cfg))
		case <-a.beat.C:
		case err := <-a.ended:
			return err
		case <-a.socketLost():
			return a.socketError()
		case cfg := <-reload:
			err := a.apply(ctx, cfg)
			if err != nil {
				a.log.Error("new config not applied", "err", err)
			} else {
				a.log.Info("new config applied")
			}
			a.noteReload(err)
			if a.o.Applied != nil {
				a.o.Applied(cfg, err)
			}
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
	for _, ch := range a.allChannels() {
		ch.now().client.NetworkChanged()
		ch.networkChanged()
	}
}

func (a *Agent) allChannels() []*channel {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Collect(maps.Values(a.channels))
}
