package signaling

import (
	"errors"
	"time"
)

const (
	replaceGap = 30 * time.Second // between two replacements, however often GO_AWAY comes
	quietFor   = time.Minute      // between two log lines about unusable frames
)

// onFrame handles one frame.
func (r *run) onFrame(from *session, data []byte) {
	f, err := decode(data)
	if err == nil {
		err = r.usable(f)
	}
	if err != nil {
		r.ignore(err, len(data))
		return
	}
	switch f.Type {
	case goAway:
		r.onGoAway(from)
	case reconnectICE:
		r.c.opts.Log.Info("the service moves its TURN servers")
		r.c.ice.drop()
		r.on(ICEServersChanged{})
	case statusResponse:
		r.onStatus(f.Status)
	default:
		if r.hears(from, f.Sender) {
			return
		}
		if r.overlap.repeated(f, from.gen, r.c.opts.Now()) {
			return
		}
		if f.Type == SDPOffer && f.Sender == "" && r.c.storage.Load() {
			r.onStorageOffer()
		}
		r.c.update(func(p *Report) { p.Received++ })
		r.on(Received{Message{Type: f.Type, ClientID: f.Sender, Payload: f.Payload}})
	}
}

// usable refuses a message that cannot be answered. Only the storage service, which has no name, may write to a master
// without a sender.
func (r *run) usable(f frame) error {
	if f.Payload != nil && f.Sender == "" && r.c.opts.Role == Master && !r.c.storage.Load() {
		return errors.New(string(f.Type) + " without senderClientId")
	}
	return nil
}

// ignore counts an unusable frame, and logs one now and then.
func (r *run) ignore(err error, size int) {
	var total uint64
	r.c.update(func(p *Report) {
		p.Ignored++
		total = p.Ignored
	})
	if r.frameLog.allow(r.c.opts.Now(), quietFor) {
		r.c.opts.Log.Warn("ignored a signaling frame", "reason", err, "bytes", size, "ignored", total)
	}
}

// onGoAway starts one replacement, even when the service repeats GO_AWAY. On a session that is being replaced it is
// expected.
func (r *run) onGoAway(from *session) {
	if from != r.cur || r.dialing || r.refusals > 0 {
		return
	}
	wait := time.Duration(0)
	if !r.replaced.IsZero() {
		wait = max(0, replaceGap-r.c.opts.Now().Sub(r.replaced))
	}
	r.c.opts.Log.Info("the service ends the signaling connection; a new one is opened first", "in", wait)
	r.dialAt.Reset(wait)
}

// onStatus links a refusal to the message that it is about. The service does not report success; a fake one may.
func (r *run) onStatus(s StatusError) {
	m, ok := r.c.sent.take(s.CorrelationID)
	if s.StatusCode == successStatus {
		return
	}
	r.c.update(func(p *Report) { p.Refused++ })
	r.c.opts.Log.Warn("the service refused a message", "err", &s, "type", m.Type, "client", m.ClientID, "ours", ok)
	if ok {
		r.on(Refused{Message: m, Err: &s})
	}
}

// limiter lets one event through per period.
type limiter struct{ last time.Time }

func (l *limiter) allow(now time.Time, every time.Duration) bool {
	if !l.last.IsZero() && now.Sub(l.last) < every {
		return false
	}
	l.last = now
	return true
}
