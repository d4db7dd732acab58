package signaling

import (
	"log/slog"
	"net/http"
	"sync"
	"time"
)

// clock is the time to sign with: the host's, corrected by the Date header of the service's answers. AWS refuses a
// signature that is more than five minutes off, and cameras boot without a clock.
type clock struct {
	now func() time.Time
	log *slog.Logger

	mu     sync.Mutex
	offset time.Duration // guarded by mu; added to now
	learnt int           // guarded by mu; how often offset has changed
}

// skewed is the smallest difference that is corrected. A smaller one may only be Date's whole seconds and the answer's
// travel time.
const skewed = time.Minute

// learn reads the Date header of an answer that has just arrived.
func (k *clock) learn(h http.Header) {
	date, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		return
	}
	now := k.now().Round(0) // the wall clock, not the monotonic one: it may have been set meanwhile
	off := date.Sub(now)
	if off.Abs() < skewed {
		off = 0
	}
	k.mu.Lock()
	changed := (off - k.offset).Abs() >= skewed
	if changed || off == 0 {
		k.offset = off
	}
	if changed {
		k.learnt++
	}
	k.mu.Unlock()
	if !changed {
		return
	}
	if off == 0 {
		k.log.Info("this host's clock is right again")
		return
	}
	k.log.Warn("this host's clock is wrong; requests are signed with the service's time until it is set",
		"off_by", (-off).Round(time.Second), "hint", "run an NTP client")
}

// lessons is how often the offset has changed.
func (k *clock) lessons() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.learnt
}

// signing returns the time to sign with.
func (k *clock) signing() time.Time {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.now().Round(0).Add(k.offset)
}

// age is how long ago then was, by the clock that has gone further since: the monotonic clock stops while the host is
// asleep, and the wall clock can be set back. What the service lets expire ages in both.
func age(now, then time.Time) time.Duration {
	return max(now.Sub(then), now.Round(0).Sub(then.Round(0)))
}
