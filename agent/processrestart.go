package agent

import (
	"context"
	"errors"

	"github.com/kvsagent/kvsagent/media"
)

// processRestarter is what an error says of itself when nothing but another start of this process helps, as with a
// device that systemd closed when its driver was not yet there.
type processRestarter interface{ Restart() bool }

// processRestart tells of such errors of a source.
type processRestart struct {
	media.Source
	tell func(error)
}

// Run implements media.Source.
func (r processRestart) Run(ctx context.Context, out media.Sink) error {
	err := r.Source.Run(ctx, out)
	if e := processRestarter(nil); errors.As(err, &e) && e.Restart() {
		r.tell(err)
	}
	return err
}

// end ends Run with err, so that whoever started this process starts it again.
func (a *Agent) end(err error) {
	select {
	case a.ended <- err:
	default: // it ends already
	}
}
