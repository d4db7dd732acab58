package agent

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/kvsagent/kvsagent/config"
	"github.com/kvsagent/kvsagent/credentials"
	"github.com/kvsagent/kvsagent/peer"
)

// A reload is a transaction: plan makes all that is new and starts none of it, and only then commit stops what has
// changed. When plan fails nothing has changed. docs/reload.md says of each key what a change of it disturbs.

// plan is what a config needs that does not run yet.
type plan struct {
	cfg     *config.Config
	network *network
	keys    credentials.Provider // nil: those that there are
	opened  bool                 // network has sockets of its own
	revived *network             // or those that were retired before
	clash   bool                 // its sockets can be opened only when the old ones are closed
	sources map[string]*source
	goOn    map[string]update   // channels that keep their sessions
	begin   map[string]*channel // those that are new, or begin anew
}

// apply makes what runs match cfg, or changes nothing and says why.
func (a *Agent) apply(ctx context.Context, cfg *config.Config) error {
	p, err := a.plan(ctx, cfg)
	if err != nil {
		return err
	}
	if p.clash {
		if err := a.reopen(ctx, p); err != nil {
			return err
		}
	}
	a.commit(ctx, p)
	return nil
}

func (a *Agent) plan(ctx context.Context, cfg *config.Config) (p *plan, err error) {
	p = &plan{cfg: cfg, goOn: map[string]update{}, begin: map[string]*channel{}}
	if p.network, err = newNetwork(cfg, a.log); err != nil {
		return nil, err
	}
	p.network.taken = a.taken
	p.network.awsKeys, p.network.crashes = &a.keys, a.o.Crashes
	if was := a.network; was == nil || !sameKeys(was.aws, cfg.AWS) {
		if p.keys, err = newAWSKeys(ctx, cfg.AWS, a.log); err != nil {
			return nil, err
		}
	}
	if p.sources, err = a.planSources(cfg); err != nil {
		return nil, err
	}
	if err := a.planChannels(p); err != nil {
		return nil, err
	}
	return p, a.planEngine(p)
}

// planSources returns the sources of cfg. It keeps those that have not changed, and starts nothing.
func (a *Agent) planSources(cfg *config.Config) (map[string]*source, error) {
	out := map[string]*source{}
	safe := a.o.Crashes.Safe() != ""
	for name, c := range cfg.Sources {
		if safe {
			c.Sub = ""
		}
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

// planChannels tells those that go on from those that begin anew: another source, or another part in the channel.
func (a *Agent) planChannels(p *plan) error {
	var errs []error
	for name, c := range p.cfg.Channels {
		var err error
		ch := a.channels[name]
		if ch != nil && goesOn(ch.now().cfg, c) && a.sources[c.Source] == p.sources[c.Source] {
			p.goOn[name], err = ch.prepare(c, p.network)
		} else {
			p.begin[name], err = newChannel(name, c, p.network, p.sources[c.Source], &a.times, a.log)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("channel %s: %w", name, err))
		}
	}
	return errors.Join(errs...)
}

// planEngine finds the media sockets: those that there are, those that some sessions still use since an earlier reload,
// or new ones. Where a port is in use by sockets of ours, all else is tried, so that what fails later is next to
// nothing.
func (a *Agent) planEngine(p *plan) error {
	o, err := p.network.engineOptions()
	if err != nil {
		return err
	}
	if a.network == nil {
		p.network.engine, err = peer.NewEngine(o)
		return err
	}
	was := a.network
	if was.engine.SameSockets(o) {
		p.network.engine, err = was.engine.With(o)
		return err
	}
	a.retired = slices.DeleteFunc(a.retired, func(n *network) bool { return n.engine.Closed() })
	for _, n := range a.retired {
		if n.engine.SameSockets(o) && n.engine.Revive() {
			if p.network.engine, err = n.engine.With(o); err != nil {
				n.engine.Retire()
				return err
			}
			p.opened, p.revived = true, n
			return nil
		}
	}
	if free := a.freePorts(o); free.UDPPort != o.UDPPort || free.TCPPort != o.TCPPort {
		p.clash = true
		try, err := peer.NewEngine(free)
		if err != nil {
			return err
		}
		return try.Close()
	}
	p.network.engine, err = peer.NewEngine(o)
	p.opened = err == nil
	return err
}

// freePorts replaces the ports that sockets of ours hold by 0, which is any or none.
func (a *Agent) freePorts(o peer.EngineOptions) peer.EngineOptions {
	for _, n := range append(slices.Clone(a.retired), a.network) {
		if o.UDPPort == n.webrtc.UDPPort {
			o.UDPPort = 0
		}
		if o.TCPPort == n.webrtc.TCPPort {
			o.TCPPort = 0
		}
	}
	return o
}

// reopen closes the media sockets and opens the new ones, of which one has a port that is in use by the old. That ends
// all sessions. When it fails the old config is served as before.
func (a *Agent) reopen(ctx context.Context, p *plan) error {
	was := a.network
	a.stopAll(ctx, a.allChannels(), nil) // and with its last session each retired socket closes
	_ = was.engine.Close()
	err := p.network.open()
	serve, cfg, sources := p.network, p.cfg, p.sources
	if err != nil {
		old := *was
		if again := old.open(); again != nil {
			a.end(again) // the process must be started again
			return errors.Join(err, again)
		}
		serve, cfg, sources = &old, a.cfg, a.sources
	}
	begin := map[string]*channel{}
	for name, c := range cfg.Channels {
		ch, bad := newChannel(name, c, serve, sources[c.Source], &a.times, a.log)
		if bad != nil { // which plan would have found
			err = errors.Join(err, fmt.Errorf("channel %s: %w", name, bad))
			continue
		}
		begin[name] = ch
	}
	if err == nil {
		p.goOn, p.begin = nil, begin
		a.mu.Lock()
		a.network, a.channels = p.network, map[string]*channel{}
		a.mu.Unlock()
		return nil
	}
	a.mu.Lock()
	a.network, a.channels = serve, begin
	a.mu.Unlock()
	for _, ch := range begin {
		ch.start()
	}
	return err
}

// commit stops what has changed or is no longer wanted, and starts what is new.
func (a *Agent) commit(ctx context.Context, p *plan) {
	var channels []*channel
	var sources []*source
	next := map[string]*channel{}
	for name, ch := range a.channels {
		if _, ok := p.goOn[name]; !ok {
			channels = append(channels, ch)
		}
	}
	for name, s := range a.sources {
		if p.sources[name] != s {
			sources = append(sources, s)
		}
	}
	was := a.network
	if p.keys != nil {
		a.keys.Set(p.keys)
	} else {
		a.keys.Invalidate() // files that they come from may have changed; the old keys serve until there are others
	}
	a.stopAll(ctx, channels, sources)
	for name, s := range p.sources {
		if a.sources[name] != s {
			s.start()
		}
	}
	updated := make(chan *channel)
	for name, u := range p.goOn {
		ch := a.channels[name]
		go func() { updated <- a.updateChannel(ctx, ch, u) }()
	}
	for range p.goOn {
		ch := <-updated
		next[ch.name] = ch
	}
	for name, ch := range p.begin {
		next[name] = ch
		ch.start()
	}
	a.mu.Lock()
	a.network, a.sources, a.channels = p.network, p.sources, next
	a.mu.Unlock()
	a.cfg = p.cfg
	if p.opened && was != nil {
		a.retired = slices.DeleteFunc(a.retired, func(n *network) bool { return n == p.revived })
		a.retired = append(a.retired, was)
		was.engine.Retire()
	}
}

// updateWithin is how long a channel's goroutine may take to come to an update. It waits for nothing else for long.
const updateWithin = 5 * time.Second

// updateChannel has a channel go by other settings, and returns it when it does. A channel whose goroutine does not
// come to it is given up, and one that begins anew takes its place.
func (a *Agent) updateChannel(ctx context.Context, ch *channel, u update) *channel {
	timer := time.NewTimer(updateWithin)
	defer timer.Stop()
	select {
	case ch.updates <- u:
		<-u.done
		ch.wanted = u.link
		return ch
	case <-ctx.Done():
		return ch
	case <-timer.C:
	}
	a.log.Error("a channel does not take the new config, and begins anew", "channel", ch.name)
	fresh, err := newChannel(ch.name, u.cfg, u.network, ch.source, &a.times, a.log)
	if err != nil { // which plan would have found
		a.log.Error("a channel does not begin anew", "channel", ch.name, "err", err)
		return ch
	}
	a.stopping.Go(ch.stop)
	fresh.start()
	return fresh
}

// stopWithin is how long a reload, or the end, waits for the channels that it stops, and then for the sources. Both and
// what follows fit into the unit's TimeoutStopSec=15s.
const stopWithin = 6 * time.Second

// stopAll ends channels and then sources, each kind in parallel, with no lock held. What takes too long goes on ending
// by itself, and so does everything once ctx is done: the agent's own end then has its time.
func (a *Agent) stopAll(ctx context.Context, channels []*channel, sources []*source) {
	var ends []func()
	for _, ch := range channels {
		ends = append(ends, ch.stop)
	}
	a.inParallel(ctx, "channel", ends)
	ends = nil
	for _, s := range sources {
		ends = append(ends, s.stop)
	}
	a.inParallel(ctx, "source", ends)
}

func (a *Agent) inParallel(ctx context.Context, kind string, ends []func()) {
	var wg sync.WaitGroup
	for _, end := range ends {
		wg.Add(1)
		a.stopping.Go(func() {
			defer wg.Done()
			end()
		})
	}
	done := make(chan struct{})
	a.stopping.Go(func() { wg.Wait(); close(done) })
	timer := time.NewTimer(stopWithin)
	defer timer.Stop()
	select {
	case <-done:
	case <-ctx.Done():
	case <-timer.C:
		a.log.Error("not everything has stopped in time", "what", kind, "waited_s", stopWithin.Seconds())
	}
}

// stop ends everything.
func (a *Agent) stop() {
	a.mu.Lock()
	channels, sources, network := a.channels, a.sources, a.network
	a.channels, a.sources, a.network = map[string]*channel{}, map[string]*source{}, nil
	a.mu.Unlock()
	a.stopAll(context.Background(), slices.Collect(maps.Values(channels)), slices.Collect(maps.Values(sources)))
	if network != nil {
		_ = network.engine.Close()
	}
}

// ReloadFailed notes a config that could not be read.
func (a *Agent) ReloadFailed(err error) { a.noteReload(err) }

// Runs says which config runs, by the SHA-256 of its file.
func (a *Agent) Runs(hash string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.reload.Hash = hash
}

// noteReload keeps the outcome of a reload, or of the start, for the report.
func (a *Agent) noteReload(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	r := &a.reload
	r.At, r.OK, r.Error = time.Now(), err == nil, text(err)
	if err == nil {
		r.Success = r.At
	}
}
