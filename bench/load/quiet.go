package load

import (
	"fmt"

	"github.com/pion/logging"
)

// quiet is Pion's log, of which only what SRTP has to say of packets is heard. There is no other way to learn that one
// did not decrypt.
type quiet struct{ srtp func(string) }

// NewLogger implements logging.LoggerFactory.
func (q quiet) NewLogger(scope string) logging.LeveledLogger {
	if scope != "srtp" {
		return silent{}
	}
	return listener{hear: q.srtp}
}

// silent is a log that nobody reads.
type silent struct{}

func (silent) Trace(string)          {}
func (silent) Tracef(string, ...any) {}
func (silent) Debug(string)          {}
func (silent) Debugf(string, ...any) {}
func (silent) Info(string)           {}
func (silent) Infof(string, ...any)  {}
func (silent) Warn(string)           {}
func (silent) Warnf(string, ...any)  {}
func (silent) Error(string)          {}
func (silent) Errorf(string, ...any) {}

// listener hears the level at which SRTP complains of packets.
type listener struct {
	silent
	hear func(string)
}

func (l listener) Info(text string)                 { l.hear(text) }
func (l listener) Infof(format string, args ...any) { l.hear(fmt.Sprintf(format, args...)) }
