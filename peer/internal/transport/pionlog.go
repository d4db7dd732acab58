package transport

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/pion/logging"
)

// PionLog lets Pion log at debug level: whatever it calls an error is, for the operator, one viewer's connection not
// coming about, and the Conn says that in its own words. A remote can cause such lines at will.
type PionLog struct{ Log *slog.Logger }

// NewLogger implements logging.LoggerFactory.
func (p PionLog) NewLogger(scope string) logging.LeveledLogger {
	return pionLogger{p.Log.With("pion", scope)}
}

type pionLogger struct{ log *slog.Logger }

func (l pionLogger) Trace(string)              {}
func (l pionLogger) Tracef(string, ...any)     {}
func (l pionLogger) Debug(string)              {}
func (l pionLogger) Debugf(string, ...any)     {}
func (l pionLogger) Info(m string)             { l.log.Debug(m) }
func (l pionLogger) Infof(f string, a ...any)  { l.format(f, a) }
func (l pionLogger) Warn(m string)             { l.log.Debug(m) }
func (l pionLogger) Warnf(f string, a ...any)  { l.format(f, a) }
func (l pionLogger) Error(m string)            { l.log.Debug(m) }
func (l pionLogger) Errorf(f string, a ...any) { l.format(f, a) }

func (l pionLogger) format(f string, a []any) {
	if l.log.Enabled(context.Background(), slog.LevelDebug) {
		l.log.Debug(fmt.Sprintf(f, a...))
	}
}
