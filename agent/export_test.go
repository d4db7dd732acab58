package agent

import (
	"log/slog"

	"github.com/kvsagent/kvsagent/config"
	"github.com/kvsagent/kvsagent/media"
)

// StartSource runs a source without an agent, until stop is called.
func StartSource(name string, c config.Source, log *slog.Logger) (hub *media.Hub, stop func(), err error) {
	s, err := newSource(name, c, log, func(error) {})
	if err != nil {
		return nil, nil, err
	}
	s.start()
	return s.hub, s.stop, nil
}

// StopWithin is how long a reload waits for what it stops.
const StopWithin = stopWithin

// ProcessRestart wraps a source of a like a camera of this host.
func ProcessRestart(a *Agent, src media.Source) media.Source { return processRestart{src, a.end} }

// BreakChannel makes the goroutine of a channel panic.
func (a *Agent) BreakChannel(name string) {
	a.mu.Lock()
	ch := a.channels[name]
	a.mu.Unlock()
	ch.ended <- nil // which is no session
}

// BlockChannel keeps the goroutine of a channel, with which client has a session, until release is called.
func (a *Agent) BlockChannel(name, client string) (release func()) {
	a.mu.Lock()
	ch := a.channels[name]
	a.mu.Unlock()
	want := offerRequest{client: client, begun: make(chan error)} // nobody reads the answer
	ch.requests <- want
	return func() { <-want.begun }
}
