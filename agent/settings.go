package agent

import (
	"context"
	"crypto/sha256"
	"fmt"
	"reflect"
	"time"

	"github.com/kvsagent/kvsagent/config"
	"github.com/kvsagent/kvsagent/signaling"
)

// settings are what a reload may change in a channel that goes on. They are replaced as a whole: sessions begin with
// what stands there, and keep it.
type settings struct {
	cfg     config.Channel
	network *network
	client  *signaling.Client
	link    link
}

// link is what a channel's signaling client is made of. Another value needs another client; sessions do not notice.
type link struct {
	region, endpoint, channel, clientID, tags string

	role      config.Role
	dualStack bool
	fips      bool
	create    bool
	storage   config.Storage
	spread    time.Duration
	hearing   time.Duration
	ttl       time.Duration
	roots     [sha256.Size]byte
}

func linkOf(c config.Channel, n *network) link {
	return link{
		region: n.region, endpoint: n.aws.Endpoint, dualStack: n.aws.DualStack, fips: n.aws.FIPS, spread: n.aws.Spread,
		hearing: n.aws.Hearing, roots: n.rootsSum,
		channel: c.ChannelName, clientID: c.ClientID, tags: fmt.Sprint(c.Tags), role: c.Role,
		create: c.Create, storage: c.Storage, ttl: c.MessageTTL,
	}
}

// sameChannel says whether the remotes of one are those of the other.
func (l link) sameChannel(o link) bool {
	return l.region == o.region && l.endpoint == o.endpoint && l.channel == o.channel && l.clientID == o.clientID &&
		l.role == o.role
}

// goesOn says whether a channel may keep its sessions under other settings: what they send and our part in it are the
// same.
func goesOn(was, now config.Channel) bool {
	return was.Source == now.Source && was.Role == now.Role && was.WaitForOffer == now.WaitForOffer
}

// newClient makes a signaling client. It connects when the channel runs it.
func (ch *channel) newClient(c config.Channel, n *network) (*signaling.Client, error) {
	o := signaling.Options{
		Channel: c.ChannelName, Role: signaling.Master, Create: c.Create, TTL: c.MessageTTL, Tags: c.Tags,
		Storage: signaling.Storage(c.Storage), Log: ch.log,
	}
	if c.Role == config.Master {
		o.Claim = func(arn string) error { return ch.claim.take(n.aws.Endpoint, arn) }
	}
	if c.Role == config.Viewer {
		o.Role, o.ClientID = signaling.Viewer, c.ClientID
	}
	return n.client(o)
}

// now is what a channel goes by.
func (ch *channel) now() *settings { return ch.settings.Load() }

// update asks a channel's goroutine to go on with other settings.
type update struct {
	settings
	done chan struct{} // closed when the channel goes by them
}

// prepare makes what a channel needs to go on with other settings. Its signaling client is nil when it keeps its own.
func (ch *channel) prepare(c config.Channel, n *network) (update, error) {
	u := update{settings: settings{cfg: c, network: n, link: linkOf(c, n)}, done: make(chan struct{})}
	if u.link == ch.wanted {
		return u, nil
	}
	var err error
	u.client, err = ch.newClient(c, n)
	return u, err
}

// change goes on with other settings. A new signaling client takes over when it is connected, so that no message is
// lost between the two, and a mistake in the new settings costs nobody the channel.
func (ch *channel) change(ctx context.Context, u update) {
	defer close(u.done)
	was := ch.now()
	next := *was
	next.cfg, next.network = u.cfg, u.network
	ch.settings.Store(&next)
	ch.early.limits = u.network.limits.Signaling
	ch.offerLimit.set(u.network.limits.Offers)
	if !reflect.DeepEqual(was.cfg.OfferTo, u.cfg.OfferTo) {
		ch.changeOffers(ctx)
	}
	if u.client == nil {
		return
	}
	ch.mu.Lock()
	before := ch.next
	ch.next = ch.connect(ch.life, u.client, u.link)
	ch.mu.Unlock()
	if before != nil {
		before.stop()
	}
}

// clientRun is a signaling client that runs.
type clientRun struct {
	*signaling.Client
	link link
	stop context.CancelFunc

	dialing time.Time // since when it is not connected; zero when it is; the channel's goroutine has it
}

// clientEvent is an event of one of a channel's signaling clients.
type clientEvent struct {
	from *clientRun
	signaling.Event
}

// connect runs a signaling client until it is stopped or ctx is done.
func (ch *channel) connect(ctx context.Context, c *signaling.Client, l link) *clientRun {
	ctx, stop := context.WithCancel(ctx)
	r := &clientRun{c, l, stop, time.Now()}
	ch.wg.Go(func() {
		defer stop()
		err := c.Run(ctx, func(e signaling.Event) {
			select {
			case ch.events <- clientEvent{r, e}:
			case <-ctx.Done():
			}
		})
		if err != nil && ctx.Err() == nil {
			ch.log.Error("signaling ended", "err", err)
		}
	})
	return r
}

// takeOver makes the next signaling client the channel's own, now that it is connected. The one before goes on for a
// while: it may have messages under way, and where it leads to other remotes, a negotiation with one of them.
func (ch *channel) takeOver() {
	ch.sending.Lock()
	ch.mu.Lock()
	before := ch.running
	ch.running, ch.next = ch.next, nil
	settings := *ch.now()
	settings.client, settings.link = ch.running.Client, ch.running.link
	ch.settings.Store(&settings)
	ch.mu.Unlock()
	if before.link.sameChannel(settings.link) {
		before.HandOver(settings.client)
	} else {
		before.Retire()
	}
	ch.sending.Unlock()
	time.AfterFunc(settings.network.limits.SetupTimeout, before.stop)
	ch.log.Info("signaling goes on with the new settings")
}

// reaches returns the signaling client that leads to a remote which was met over via; nil is the channel's own.
func (ch *channel) reaches(via *clientRun) *signaling.Client {
	now := ch.now()
	if via == nil || via.link.sameChannel(now.link) {
		return now.client
	}
	return via.Client
}

// foreign says whether a message is from a remote of an earlier channel with which there is no session: nobody could
// answer it.
func (ch *channel) foreign(from *clientRun, client string) bool {
	s := ch.sessions[client]
	return !from.link.sameChannel(ch.now().link) && (s == nil || s.via != from)
}

// nextError is why the next signaling client is not connected yet; nil when there is none.
func (ch *channel) nextError() error {
	ch.mu.Lock()
	next := ch.next
	ch.mu.Unlock()
	if next == nil {
		return nil
	}
	if r := next.Report(); r.Err != nil {
		return fmt.Errorf("the new settings do not connect, the old go on: %w", r.Err)
	}
	return nil
}
