package localkvs

import (
	"context"
	"log/slog"
	"time"
)

const maxSessionInbox = 256 // messages that a session has not received yet

// StorageSession is the signaling of one storage session: the service is the peer of a master or a viewer.
// Options.Storage is the media end. The session is over when its context is.
type StorageSession struct {
	ChannelARN, StreamARN string
	ClientID              string // the viewer's, "" when the master joined
	TURN                  TURNServer

	channel *channel
	inbox   chan StorageMessage
	cancel  context.CancelFunc
	now     func() time.Time
}

// TURNServer is the service's own, with credentials like those of a client of the channel. (KVS dev guide, WebRTC
// ingestion: the service's candidates are relay ones.)
type TURNServer struct {
	URIs               []string
	Username, Password string
}

// LogValue hides the password.
func (t TURNServer) LogValue() slog.Value { return slog.AnyValue(t.URIs) }

// StorageMessage is what a peer sent to the service, unchanged.
type StorageMessage struct {
	Type    string // SDP_ANSWER, ICE_CANDIDATE, SDP_OFFER
	Payload string // base64
}

// Send sends the peer a message, such as an SDP_OFFER. It has no sender, which tells the peer that it comes from the
// service. (KVS dev guide, WebRTC ingestion.)
func (ss *StorageSession) Send(m StorageMessage) error {
	c := ss.channel
	c.mu.Lock()
	defer c.mu.Unlock()
	l := letter{kind: m.Type, frame: encode(relayed{MessageType: m.Type, MessagePayload: m.Payload})}
	if err := c.put(ss.ClientID, l, ss.now(), Readings{}, Faults{}); err != nil {
		return err
	}
	return nil
}

// Receive waits for the peer's next message. Messages of a peer that sends faster than they are received are dropped.
func (ss *StorageSession) Receive(ctx context.Context) (StorageMessage, error) {
	select {
	case m := <-ss.inbox:
		return m, nil
	case <-ctx.Done():
		return StorageMessage{}, ctx.Err()
	}
}

func (s *Server) joinStorage(c *call, in struct{ ChannelArn string }) (any, *apiError) {
	return nil, s.join(c, in.ChannelArn, masterMailbox)
}

func (s *Server) joinStorageAsViewer(c *call, in struct{ ChannelArn, ClientId string }) (any, *apiError) {
	if !isID(in.ClientId) {
		return nil, invalidArgument("clientId must match [a-zA-Z0-9_.-]{1,256}")
	}
	return nil, s.join(c, in.ChannelArn, in.ClientId)
}

// join starts a storage session for a connected client, and replaces an earlier one. The offer follows on the client's
// connection.
func (s *Server) join(c *call, arn, client string) *apiError {
	ch, err := s.byARN(c, arn)
	if err != nil {
		return err
	}
	switch m := ch.media(); {
	case m.Status != "ENABLED":
		return invalidArgument("channel %s has no media storage", ch.name)
	case s.opts.Storage == nil:
		return invalidArgument("this localkvs has no storage")
	case !s.enter():
		return unavailable("shutting down")
	}
	ctx, cancel := context.WithCancel(c.service)
	ice := s.iceServer(ch, c.now)
	ss := &StorageSession{
		ChannelARN: ch.arn, StreamARN: ch.media().StreamARN, ClientID: client,
		TURN:    TURNServer{ice.Uris, ice.Username, ice.Password},
		channel: ch, inbox: make(chan StorageMessage, maxSessionInbox), cancel: cancel, now: s.now,
	}
	if err := ch.openSession(ss); err != nil {
		cancel()
		s.sockets.Done()
		return err
	}
	go func() {
		defer s.sockets.Done()
		defer ch.closeSession(ss)
		if life := s.opts.Limits.StorageLife; life > 0 {
			var stop context.CancelFunc
			ctx, stop = context.WithTimeout(ctx, life)
			defer stop()
		}
		err := s.opts.Storage(ctx, ss)
		s.opts.Log.Info("storage session ended", "channel", ch.name, "client", client, "err", err)
	}()
	return nil
}

// openSession replaces its client's earlier session, if any.
func (c *channel) openSession(ss *StorageSession) *apiError {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.current(ss.ClientID) == nil {
		return invalidArgument("there is no connection of the same role and client id to send an offer to")
	}
	c.endSession(ss.ClientID)
	if c.sessions == nil {
		c.sessions = map[string]*StorageSession{}
	}
	c.sessions[ss.ClientID] = ss
	return nil
}

// endSession ends a client's session, if it has one. The caller holds the mutex.
func (c *channel) endSession(client string) {
	if ss := c.sessions[client]; ss != nil {
		ss.cancel()
		delete(c.sessions, client)
	}
}

// closeSession removes a session that is over.
func (c *channel) closeSession(ss *StorageSession) {
	c.mu.Lock()
	defer c.mu.Unlock()
	ss.cancel()
	if c.sessions[ss.ClientID] == ss {
		delete(c.sessions, ss.ClientID)
	}
}

// toSession passes a message to its sender's storage session, if it is meant for that: a viewer in a session talks to
// nobody else; a master talks to it when it names no recipient. The caller holds the mutex.
func (c *channel) toSession(from *socket, m message) bool {
	ss := c.sessions[from.client]
	stored := c.storage.Status == "ENABLED" && from.client == masterMailbox && m.RecipientClientID == ""
	if ss == nil || from.client == masterMailbox && m.RecipientClientID != "" {
		return stored // for a service that is not listening now
	}
	select {
	case ss.inbox <- StorageMessage{Type: m.Action, Payload: m.MessagePayload}:
	default:
	}
	return true
}
