package localkvs

import (
	"slices"
	"time"
)

const (
	maxLetters    = 1000 // letters of one mailbox
	maxPerSender  = 200  // letters of one sender in one mailbox
	maxMailboxes  = 100  // mailboxes of one channel
	masterMailbox = ""   // the key of the master's; those of viewers are their client IDs, which are never empty
)

// letter is a message in a mailbox.
type letter struct {
	kind, from string
	frame      []byte
	expires    time.Time // by the service's clock
	due        time.Time // by the wall clock: the letter is not sent earlier. Zero unless a fault delays it.
}

// mailbox holds what one client has yet to receive, connected or not. It is all of store-and-forward.
type mailbox struct{ letters []letter }

// put adds a letter. An offer or an answer replaces an undelivered one from the same sender; candidates are all kept.
// (KVS dev guide, SendSdpOffer.) When there are too many, the sender's oldest is dropped, then the oldest of all.
func (b *mailbox) put(l letter) {
	if l.kind != iceCandidate {
		if i := slices.IndexFunc(b.letters, func(o letter) bool {
			return o.kind == l.kind &&
				o.from == l.from
		}); i >= 0 {
			b.letters[i] = l
			return
		}
	}
	n, oldest := 0, -1
	for i, o := range b.letters {
		if o.from == l.from {
			n++
			if oldest < 0 && o.kind == iceCandidate {
				oldest = i
			}
		}
	}
	switch {
	case n >= maxPerSender && oldest >= 0:
		b.letters = slices.Delete(b.letters, oldest, oldest+1)
	case len(b.letters) >= maxLetters:
		b.letters = slices.Delete(b.letters, 0, 1)
	}
	b.letters = append(b.letters, l)
}

// take removes the first letter that may be sent. If there is none, wait is how long until one may; 0 means for ever.
func (b *mailbox) take(now time.Time) (l letter, wait time.Duration, ok bool) {
	b.purge(now)
	wall := time.Now()
	for i, l := range b.letters {
		if d := l.due.Sub(wall); !l.due.IsZero() && d > 0 {
			if wait == 0 || d < wait {
				wait = d
			}
			continue
		}
		b.letters = slices.Delete(b.letters, i, i+1)
		return l, 0, true
	}
	return letter{}, wait, false
}

func (b *mailbox) purge(now time.Time) {
	b.letters = slices.DeleteFunc(b.letters, func(l letter) bool { return !now.Before(l.expires) })
}
