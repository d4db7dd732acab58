package localkvs

import (
	"fmt"
	"log/slog"

	"github.com/pion/logging"
)

// turnLog logs everything from the TURN library as Debug: it is mostly about clients that went away.
type turnLog struct{ log *slog.Logger }

var (
	_ logging.LoggerFactory = turnLog{}
	_ logging.LeveledLogger = turnLog{}
)

func (l turnLog) NewLogger(string) logging.LeveledLogger { return l }

func (l turnLog) say(msg string)                 { l.log.Debug("turn", "says", msg) }
func (l turnLog) Trace(string)                   {}
func (l turnLog) Tracef(string, ...any)          {}
func (l turnLog) Debug(string)                   {}
func (l turnLog) Debugf(string, ...any)          {}
func (l turnLog) Info(msg string)                { l.say(msg) }
func (l turnLog) Infof(format string, a ...any)  { l.say(fmt.Sprintf(format, a...)) }
func (l turnLog) Warn(msg string)                { l.say(msg) }
func (l turnLog) Warnf(format string, a ...any)  { l.say(fmt.Sprintf(format, a...)) }
func (l turnLog) Error(msg string)               { l.say(msg) }
func (l turnLog) Errorf(format string, a ...any) { l.say(fmt.Sprintf(format, a...)) }
