package agent

import (
	"maps"
	"sync"

	"github.com/kvsagent/kvsagent/status"
)

// stageTimes counts how long sessions took to reach each stage up to their first key frame. The zero value is ready to
// use.
type stageTimes struct {
	mu     sync.Mutex // guards the field below
	stages map[status.Stage]status.Histogram
}

func (t *stageTimes) add(s status.Stages) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.stages == nil {
		t.stages = map[status.Stage]status.Histogram{}
	}
	for stage, seconds := range s.All() {
		h := t.stages[stage]
		h.Observe(seconds)
		t.stages[stage] = h
	}
}

func (t *stageTimes) report() map[status.Stage]status.Histogram {
	t.mu.Lock()
	defer t.mu.Unlock()
	return maps.Clone(t.stages)
}
