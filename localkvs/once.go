package localkvs

import (
	"sync"
	"time"
)

// onceOnly remembers what was used in the last minutes.
type onceOnly struct {
	mu   sync.Mutex // guards used
	used map[string]time.Time
}

const maxRemembered = 10000

// first reports whether key is new. It forgets keys that are older than the usual life of a signature, and when there
// are too many.
func (o *onceOnly) first(key string, now time.Time) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if _, ok := o.used[key]; ok {
		return false
	}
	if o.used == nil || len(o.used) >= maxRemembered {
		o.used = map[string]time.Time{}
	}
	for k, at := range o.used {
		if now.Sub(at) > 2*sigSkew {
			delete(o.used, k)
		}
	}
	o.used[key] = now
	return true
}
