package signaling

import (
	"crypto/sha256"
	"time"
)

// overlap recognises messages that arrived over both the old and the new session of a replacement. A message that comes
// twice over one session is intended by its sender, and passes.
type overlap struct {
	epoch int // counts sessions that replaced no other
	seen  map[print]origin
}

// print identifies a message.
type print struct {
	kind    MessageType
	sender  string
	payload [sha256.Size]byte
}

type origin struct {
	epoch, gen int
	at         time.Time
}

const maxSeen = 512

func (o *overlap) opened(planned bool) {
	if !planned {
		o.epoch++
	}
}

// repeated records f and reports whether the other session delivered it within the last minute.
func (o *overlap) repeated(f frame, gen int, now time.Time) bool {
	if o.seen == nil {
		o.seen = make(map[print]origin)
	}
	p := print{f.Type, f.Sender, sha256.Sum256(f.Payload)}
	was, ok := o.seen[p]
	o.seen[p] = origin{o.epoch, gen, now}
	if len(o.seen) > maxSeen {
		o.forget(now)
	}
	return ok && was.epoch == o.epoch && was.gen != gen && now.Sub(was.at) < drain
}

// forget drops entries older than a minute, or all of them when that frees no room.
func (o *overlap) forget(now time.Time) {
	for p, was := range o.seen {
		if now.Sub(was.at) >= drain {
			delete(o.seen, p)
		}
	}
	if len(o.seen) > maxSeen {
		clear(o.seen)
	}
}
