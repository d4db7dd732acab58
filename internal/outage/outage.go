// Package outage decides which failures of a series are worth a log line: the first, one with another reason, and a
// reminder each hour. What fails all day is then a page of log and not a book.
package outage

import (
	"regexp"
	"strings"
	"time"
)

const (
	remind  = time.Hour   // between two lines about the same reason
	stable  = time.Minute // what works for less has not recovered
	reasons = 8           // that are told apart; more are one
	relapse = 3           // short recoveries that are told in an hour
)

// Series is failures of one thing, one after another. The zero value is one without a failure. It is not safe for
// concurrent use.
type Series struct {
	said   map[string]time.Time // reasons, and when a line told them
	failed bool
	began  time.Time // of the outage
	tries  int       // failures since then

	over     time.Time // when it last recovered; the zero time means never
	relapses int       // failures within stable of a recovery
	first    time.Time // of relapses
	untold   bool      // that it has recovered
}

// changing is what differs between two failures for the same reason: ports, durations, request IDs.
var changing = regexp.MustCompile(`:\d{4,5}\b|\b\d+(\.\d+)?(µs|ms|s|m)\b|\b[0-9a-f]{8}-[0-9a-f-]{27}\b|\b\d{6,}\b`)

// Reason is a text without what differs between two failures for the same reason.
func Reason(text string) string { return changing.ReplaceAllString(text, "") }

// Failed counts a failure, and reports whether a line should tell it.
func (s *Series) Failed(now time.Time, reason string) bool {
	if !s.failed {
		s.failed = true
		if now.Sub(s.over) > stable {
			s.began, s.tries = now, 0
		} else {
			s.relapsed(now)
		}
		if now.Sub(s.over) > stable || s.relapses <= relapse && !s.untold {
			s.forget(reason) // it had recovered, and the log says so
		}
	}
	s.tries++
	return s.due(now, reason)
}

// relapsed counts a failure soon after a recovery.
func (s *Series) relapsed(now time.Time) {
	if now.Sub(s.first) >= remind {
		s.first, s.relapses = now, 0
	}
	s.relapses++
}

func (s *Series) forget(reason string) { delete(s.said, Reason(reason)) }

// due reports whether reason was not told for an hour, and notes that it is now.
func (s *Series) due(now time.Time, reason string) bool {
	reason = strings.Clone(Reason(reason))
	for r, at := range s.said {
		if now.Sub(at) >= remind {
			delete(s.said, r)
		}
	}
	if _, told := s.said[reason]; told {
		return false
	}
	if len(s.said) >= reasons {
		return false
	}
	if s.said == nil {
		s.said = map[string]time.Time{}
	}
	s.said[reason] = now
	return true
}

// Tries returns how many failures the outage has had.
func (s *Series) Tries() int { return s.tries }

// Lasted returns how long the outage has lasted.
func (s *Series) Lasted(now time.Time) time.Duration { return now.Sub(s.began) }

// Recovered ends the outage, and reports whether a line should tell it. It is true when there was none. What fails
// again and again after a moment is not told each time; see Settled.
func (s *Series) Recovered(now time.Time) bool {
	wasDown := s.failed
	s.failed = false
	if wasDown {
		s.over = now
	}
	s.untold = wasDown && s.relapses >= relapse && now.Sub(s.first) < remind
	return !s.untold
}

// Settled reports, once, that what has recovered untold has lasted.
func (s *Series) Settled(now time.Time) bool {
	if s.failed || !s.untold || now.Sub(s.over) <= stable {
		return false
	}
	s.untold = false
	return true
}
