package agent_test

import (
	"context"
	"errors"
	"testing"

	"github.com/kvsagent/kvsagent/agent"
	"github.com/kvsagent/kvsagent/config"
	"github.com/kvsagent/kvsagent/media"
)

// closed is a camera that cannot be opened.
type closed struct{ err error }

func (c closed) Run(context.Context, media.Sink) error { return c.err }

type late struct{ error }

func (late) Restart() bool { return true }

// Fault 95: a camera that can be opened only after a restart of the process ends the agent with the reason. No other
// error does.
func TestRestartForALateDriver(t *testing.T) {
	a := agent.New(agent.Options{})
	other := errors.New("no such device")
	if err := agent.ProcessRestart(a, closed{other}).Run(t.Context(), nil); err != other {
		t.Errorf("%v, want %v", err, other)
	}
	why := late{errors.New("not permitted")}
	for range 2 { // the source is retried until the agent has ended
		if err := agent.ProcessRestart(a, closed{why}).Run(t.Context(), nil); err != why {
			t.Errorf("%v, want %v", err, why)
		}
	}
	s := service(t)
	if err := a.Run(t.Context(), parse(t, s, gate), make(chan *config.Config)); err != why {
		t.Errorf("Run = %v, want %v", err, why)
	}
}
