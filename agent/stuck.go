package agent

import (
	"cmp"
	"slices"
	"time"

	"github.com/kvsagent/kvsagent/status"
)

// How long a loop may be away. A hub waits for a source that it has stopped, and a reload for all that it stops.
const (
	loopWithin   = 10 * time.Second
	hubWithin    = 20 * time.Second
	reloadWithin = 2 * time.Minute
)

// Stuck names the loops that do not go on. One that has nothing to do goes on, and so does the hub of a source that
// delivers nothing. It must be called every few seconds.
func (a *Agent) Stuck(now time.Time) (all []status.Stuck) {
	add := func(loop string, since, within time.Duration) {
		if since > within {
			all = append(all, status.Stuck{Loop: loop, Seconds: since.Seconds(), Fatal: true})
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	add("reload", a.beat.Stuck(now), reloadWithin)
	for name, ch := range a.channels {
		add("channel "+name, ch.beat.Stuck(now), loopWithin)
	}
	for name, s := range a.sources {
		add("source "+name, s.hub.Stuck(now), hubWithin)
		if s.sub != nil {
			add("source "+name+"/sub", s.sub.Stuck(now), hubWithin)
		}
	}
	if a.network != nil {
		add("media socket", a.network.engine.Stuck(now), loopWithin)
	}
	slices.SortFunc(all, func(x, y status.Stuck) int { return cmp.Compare(x.Loop, y.Loop) })
	return all
}
