package agent

import "github.com/kvsagent/kvsagent/media"

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
