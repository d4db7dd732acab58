package agent

import (
	"context"
	"errors"

	"github.com/kvsagent/kvsagent/media"
)

// processRestarter is implemented by errors that only a restart of this process cures, for example a device that
// systemd closed off because its driver had not been loaded yet.
type processRestarter interface{ Restart() bool }

// processRestart reports such errors of a source.
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

// end makes Run return err, so that the service manager starts this process again.
func (a *Agent) end(err error) {
	select {
	case a.ended <- err:
	default: // it is ending already
	}
}
