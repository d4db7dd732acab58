package signaling

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesisvideo"
	"github.com/aws/aws-sdk-go-v2/service/kinesisvideo/types"
	"github.com/kvsagent/kvsagent/internal/backoff"
	"github.com/kvsagent/kvsagent/internal/outage"
)

// Storage says whether the channel's media goes to a KVS stream (KVS WebRTC ingestion). The service is then the only
// peer. It makes the offer after it was asked to join, and has no client ID. It needs both H.264 and Opus.
type Storage string

// The storage modes. While a channel has storage on, the service refuses viewers that offer to the master.
const (
	StorageOff  Storage = "off"  // the default: peers only
	StorageAuto Storage = "auto" // on when the channel is configured for it
	StorageOn   Storage = "on"   // an error when the channel is not configured for it
)

const (
	// After a join; status 200 does not promise an offer (KVS dev guide, storage troubleshooting).
	offerWithin = 6 * time.Second
	joinTries   = 5                // in a row, and joins for the owner within joinSpan, before slowing down
	joinSpan    = 10 * time.Minute // see joinTries
	sessionLife = time.Hour        // of a storage session (KVS dev guide, Limits)
	joinEarly   = 3 * time.Minute  // before its end, at most
)

// storageEnabled asks whether the channel has a stream.
func (c *control) storageEnabled(ctx context.Context, arn string) (bool, error) {
	const op = "DescribeMediaStorageConfiguration"
	if c.opts.Storage == StorageOff {
		return false, nil
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	out, err := c.kv.DescribeMediaStorageConfiguration(ctx,
		&kinesisvideo.DescribeMediaStorageConfigurationInput{ChannelARN: &arn})
	var api *APIError
	if err != nil {
		err = fromSDK(op, err)
		// A channel that never had storage, and a policy written for peers only, must not prevent the main job.
		if c.opts.Storage == StorageAuto && errors.As(err, &api) &&
			(api.Status == http.StatusNotFound || api.cause() == denied) {
			c.opts.Log.Info("storage mode is off: it cannot be asked for", "err", err)
			return false, nil
		}
		return false, err
	}
	on := out.MediaStorageConfiguration != nil &&
		out.MediaStorageConfiguration.Status == types.MediaStorageConfigurationStatusEnabled
	if !on && c.opts.Storage == StorageOn {
		return false, &opError{op, errStorageDisabled}
	}
	return on, nil
}

// join asks the storage service to make its offer over the WebSocket, which must be open.
func (c *control) join(ctx context.Context) error {
	ch, remembered, err := c.find(ctx)
	if err != nil {
		return err
	}
	if !ch.storage {
		return errors.New("the channel's storage has been switched off")
	}
	// Only these two calls have keys in lower camel case (KVS API reference).
	in := struct {
		ChannelARN string `json:"channelArn"`
		ClientID   string `json:"clientId,omitempty"`
	}{ch.arn, c.opts.ClientID}
	op, path := "JoinStorageSession", "/joinStorageSession"
	if c.opts.Role == Viewer {
		op, path = "JoinStorageSessionAsViewer", "/joinStorageSessionAsViewer"
	}
	err = c.call(ctx, op, ch.webrtc, path, in, nil)
	c.doubtKeys(err) // joinFailed schedules the next attempt
	if remembered && stale(err) {
		c.forget(ctx)
	}
	return err
}

// joiner keeps the storage session of a run. The run's loop owns it and calls its methods.
type joiner struct {
	at     *time.Timer // next join, or the end of waiting for an offer
	joined chan error  // the result of the call
	busy   bool        // a call is in progress
	due    bool        // its time came while that, or the lack of a WebSocket, kept it from being made
	tries  int         // joins without an offer since the last one
	gaveUp int         // consecutive times that the tries were used up
	offer  time.Time   // when the last offer came; zero: no session
	ends   [joinTries]time.Time

	failures outage.Series // for the log
}

var errStorageDisabled = errors.New("storage is not enabled on the channel; hint: aws kinesisvideo " +
	"update-media-storage-configuration, or storage: auto")

// errNoOffer is the only symptom when the service rejects a channel, a policy or a peer.
var errNoOffer = fmt.Errorf("joined %d times, and the storage service made no offer; hint: the stream needs a "+
	"retention above 0, the IAM policy kinesisvideo:JoinStorageSession, "+
	"and the source H.264 video with Opus audio", joinTries)

// errUnstable says that sessions end right after they begin.
var (
	errUnstable = errors.New("storage sessions end right after they begin")
	errNoReason = errors.New("the reason is unknown; hint: the storage service wants H.264 and Opus, both, and " +
		"trickled " +
		"candidates")
)

// joinOnOpen begins a storage session, unless there is one: media does not end with the WebSocket.
func (r *run) joinOnOpen() {
	if r.c.storage.Load() && (r.join.due || r.join.offer.IsZero() ||
		r.c.opts.Now().Sub(r.join.offer) >= sessionLife-joinEarly) {
		r.join.at.Reset(0)
	}
}

// onJoinTime handles the end of a wait: for an offer that did not come, for the session's hour, or after giving up.
func (r *run) onJoinTime() {
	j := &r.join
	if !r.c.storage.Load() || r.c.retired.Load() {
		return
	}
	if j.due = r.cur == nil || j.busy; j.due {
		return // the next WebSocket, or the end of the call, sees to it
	}
	if j.tries >= joinTries {
		r.joinFailed(errNoOffer)
		return
	}
	j.tries++
	j.busy = true
	r.wg.Go(func() {
		err := r.c.control.join(r.ctx)
		select {
		case j.joined <- err:
		case <-r.ctx.Done():
		}
	})
}

// onJoined waits for the offer, with some jitter, or gives up for a while.
func (r *run) onJoined(err error) {
	j := &r.join
	j.busy = false
	switch {
	case j.tries == 0 && j.due && r.cur != nil: // the session of an offer that came first is over already
		j.at.Reset(0)
	case j.tries == 0: // an offer came first, whatever has become of the answer to the call
	case err != nil:
		r.joinFailed(err)
	default:
		j.at.Reset(offerWithin + backoff.Scale(offerWithin/3, r.c.opts.Rand()))
	}
}

// joinFailed schedules the next round of joins.
func (r *run) joinFailed(err error) {
	j := &r.join
	c, _ := (&retrier{}).classify(err)
	wait := next(c, j.gaveUp, r.c.opts.Spread, r.c.opts.Rand())
	j.gaveUp++
	j.tries = 0
	j.at.Reset(wait)
	err = r.c.explain(err)
	r.c.update(func(p *Report) { p.StorageErr = err })
	if j.failures.Failed(r.c.opts.Now(), failureText(err)) {
		r.c.opts.Log.Warn("not in the storage session", "err", err, "tries", j.failures.Tries(),
			"retry", wait.Round(time.Millisecond))
	}
}

// onStorageOffer notes that a join succeeded. It schedules the next join shortly before the session's hour ends. The
// offer of that join replaces the session while it still works.
func (r *run) onStorageOffer() {
	j := &r.join
	j.offer, j.tries, j.gaveUp, j.due = r.c.opts.Now(), 0, 0, false
	j.at.Reset(sessionLife - backoff.Scale(joinEarly, r.c.opts.Rand()))
	r.c.update(func(p *Report) { p.StorageErr = nil })
	j.failures.Recovered(j.offer)
	r.c.opts.Log.Info("the storage service makes an offer")
}

// onRejoin joins again because the owner says that the peer has ended: at once the first time, then more slowly. After
// five ends in ten minutes it waits for a minute or more.
func (r *run) onRejoin(why error) {
	j := &r.join
	if !r.c.storage.Load() {
		return
	}
	now := r.c.opts.Now()
	j.offer = time.Time{}
	recent := 0
	for _, end := range j.ends {
		if !end.IsZero() && now.Sub(end) < joinSpan {
			recent++
		}
	}
	copy(j.ends[:], j.ends[1:])
	j.ends[joinTries-1] = now
	if recent == joinTries {
		if why == nil {
			why = errNoReason
		}
		r.joinFailed(fmt.Errorf("%w: %w", errUnstable, why))
		return
	}
	wait := time.Duration(0)
	if recent > 0 {
		wait = next(failed, recent, r.c.opts.Spread, r.c.opts.Rand())
	}
	r.c.update(func(p *Report) { p.StorageErr = why })
	j.at.Reset(wait)
}

// Rejoin asks for a new storage session. Call it when the peer that answered the storage service's offer has ended,
// with the reason; Report shows that reason until there is another session. Rejoin never blocks. Without storage it
// does nothing. An open session is renewed before its hour ends without a call.
func (c *Client) Rejoin(why error) {
	select {
	case c.rejoin <- why:
	default:
	}
}

// protocols returns what to ask GetSignalingChannelEndpoint for. Asking for WEBRTC on a channel without storage is an
// error.
func protocols(storage bool) []types.ChannelProtocol {
	p := []types.ChannelProtocol{types.ChannelProtocolWss, types.ChannelProtocolHttps}
	if storage {
		p = append(p, types.ChannelProtocolWebrtc)
	}
	return p
}
