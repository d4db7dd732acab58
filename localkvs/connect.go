package localkvs

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// connect implements ConnectAsMaster and ConnectAsViewer: it checks the pre-signed URL, upgrades, and leaves a
// connection that lives on its own. Errors are for the HTTP answer to the upgrade. (KVS dev guide, ConnectAsMaster and
// ConnectAsViewer.)
func (s *Server) connect(ctx context.Context, w http.ResponseWriter, r *http.Request) *apiError {
	sc, err := s.authenticate(r, nil)
	if err != nil {
		return err
	}
	q := r.URL.Query()
	if s.opts.Readings.SignOnce && !s.urls.first(param(q, "X-Amz-Signature"), time.Now()) {
		return badSignature("The pre-signed URL has been used.")
	}
	ch, err := s.target(sc, param(q, "X-Amz-ChannelARN"))
	if err != nil {
		return err
	}
	client, err := clientOf(r.Host, param(q, "X-Amz-ClientId"))
	if err != nil {
		return err
	}
	sk := newSocket(ch, client, r.RemoteAddr, s.opts.Limits, time.Now())
	if !ch.allow("ConnectAs"+sk.role(), s.opts.Limits.ConnectRate) {
		return limitExceeded("too many connections a second for channel %s", ch.name)
	}
	return s.accept(ctx, w, r, sk)
}

// target returns the channel of a connection or of a call to a channel's own endpoint. Such endpoints belong to one
// region.
func (s *Server) target(sc scope, arn string) (*channel, *apiError) {
	if !isARN(arn) {
		return nil, invalidArgument("channelARN %.80q is not the ARN of a channel", arn)
	}
	ch := s.channels.find(arn)
	if ch == nil {
		return nil, notFound("channel")
	}
	if ch.region != sc.region {
		return nil, badSignature("Credential should be scoped to a valid region, not '%s'.", sc.region)
	}
	return ch, nil
}

// clientOf tells roles apart. Hosts m-... and v-... under .localhost name the role, as the service's do; on any other
// host, a caller with a client ID is a viewer. A master may call itself MASTER, which the service tolerates.
func clientOf(host, id string) (client string, err *apiError) {
	role := roleOfHost(host)
	if role == "" && (id == "" || id == roleMaster) {
		role = roleMaster
	}
	if role == roleMaster {
		return masterMailbox, nil
	}
	if !isViewerID(id) {
		return "", invalidArgument("X-Amz-ClientId must match [a-zA-Z0-9_.-]{1,256} and not begin with AWS_")
	}
	return id, nil
}

// roleOfHost returns the role that a host name stands for, or "". See Options.NamedEndpoints.
func roleOfHost(host string) string {
	name := (&url.URL{Host: host}).Hostname()
	switch {
	case !strings.HasSuffix(name, ".localhost"):
		return ""
	case strings.HasPrefix(name, "m-"):
		return roleMaster
	case strings.HasPrefix(name, "v-"):
		return roleViewer
	}
	return ""
}

// accept upgrades, and serves in a goroutine of its own, since the HTTP server's goroutine keeps buffers and a large
// stack.
func (s *Server) accept(ctx context.Context, w http.ResponseWriter, r *http.Request, sk *socket) (refused *apiError) {
	if !s.enter() {
		return unavailable("shutting down")
	}
	defer func() {
		if refused != nil {
			sk.channel.leave(sk)
			s.sockets.Done()
		}
	}()
	// The connection is registered before the upgrade, whose answer is the last chance to refuse.
	if err := sk.channel.join(sk, s.opts.Limits.Viewers, s.opts.Readings.CloseDisplaced); err != nil {
		return err
	}
	up := s.upgrader()
	ws, err := up.Upgrade(w, r, nil)
	if err != nil {
		return badRequest("BadRequestException", "the WebSocket upgrade is malformed")
	}
	sk.ws = ws
	s.opts.Log.Info("connected", "channel", sk.channel.name, "client", sk.name(), "remote", sk.remote)
	go func() {
		defer s.sockets.Done()
		s.serveSocket(ctx, sk)
	}()
	return nil
}

// receive handles one frame of a client. Success is silent.
func (s *Server) receive(sk *socket, frame []byte) {
	if len(frame) == 0 {
		return
	}
	m, err := parseMessage(frame)
	if err == nil && !sk.allow(m.Action) {
		err = limitExceeded("too many messages of type %s a second", m.Action)
		if s.opts.Readings.CloseOnRate {
			sk.end(ending{code: closeGoingAway, text: "too many messages"})
		}
	}
	if err == nil {
		err = sk.channel.post(sk, m, s.now(), s.opts.Readings, s.faults.get())
	}
	if err != nil {
		sk.channel.refuse(sk, m, err)
	}
	s.recent.add(Record{
		Time: s.now(), Channel: sk.channel.name, From: sk.name(), Type: clip(m.Action, 40),
		To:      clip(m.RecipientClientID, maxID),
		Payload: clip(m.MessagePayload, maxPayload), Refused: errText(err),
	})
}

func clip(s string, n int) string { return s[:min(len(s), n)] }

func errText(err *apiError) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// goAway tells a client to reconnect; it has Limits.Grace for it.
func goAway() []byte { return encode(relayed{MessageType: "GO_AWAY"}) }
