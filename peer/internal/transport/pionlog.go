package transport

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/pion/logging"
	"github.com/pion/webrtc/v4"
)

// PionLog lets Pion log at debug level: whatever it calls an error is, for the operator, one viewer's connection not
// coming about, and the Conn says that in its own words. A remote can cause such lines at will.
type PionLog struct {
	Log *slog.Logger
	// Failed gets each error that a peer connection only logs: that of a DTLS handshake is one. May be nil.
	Failed func(error)
	// Unhandled gets each stream that comes and that a peer connection knows no section for. May be nil.
	Unhandled func(ssrc uint32)
}

// NewLogger implements logging.LoggerFactory.
func (p PionLog) NewLogger(scope string) logging.LeveledLogger {
	l := pionLogger{log: p.Log.With("pion", scope)}
	if scope == "pc" {
		l.failed, l.unhandled = p.Failed, p.Unhandled
	}
	return l
}

type pionLogger struct {
	log    *slog.Logger
	failed func(error) // may be nil

	unhandled func(ssrc uint32) // may be nil
}

func (l pionLogger) Trace(string)              {}
func (l pionLogger) Tracef(string, ...any)     {}
func (l pionLogger) Debug(string)              {}
func (l pionLogger) Debugf(string, ...any)     {}
func (l pionLogger) Info(m string)             { l.log.Debug(m) }
func (l pionLogger) Infof(f string, a ...any)  { l.format(f, a) }
func (l pionLogger) Warn(m string)             { l.log.Debug(m) }
func (l pionLogger) Warnf(f string, a ...any)  { l.fail(a); l.format(f, a) }
func (l pionLogger) Error(m string)            { l.log.Debug(m) }
func (l pionLogger) Errorf(f string, a ...any) { l.stray(a); l.format(f, a) }

// stray passes on the stream among the arguments of a line: Pion is done with it then.
func (l pionLogger) stray(args []any) {
	for _, a := range args {
		if ssrc, ok := a.(webrtc.SSRC); ok && l.unhandled != nil {
			l.unhandled(uint32(ssrc))
		}
	}
}

// fail passes on the error among the arguments of a line.
func (l pionLogger) fail(args []any) {
	for _, a := range args {
		if err, ok := a.(error); ok && l.failed != nil {
			l.failed(err)
		}
	}
}

func (l pionLogger) format(f string, a []any) {
	if l.log.Enabled(context.Background(), slog.LevelDebug) {
		l.log.Debug(fmt.Sprintf(f, a...))
	}
}
