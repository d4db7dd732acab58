package localkvs

import (
	"strconv"
	"time"
)

const maxDeaf = 64 // displaced connections of one channel that stay open

// router is the part of a channel that routes messages. The channel's mutex guards it.
type router struct {
	master  *socket
	viewers map[string]*socket // by client id
	deaf    []*socket          // displaced by a newer connection of the same identity, oldest first
	boxes   map[string]*mailbox
	asking  map[string]chan string // by client id: calls that wait for the master's answer

	sessions map[string]*StorageSession // by client id
}

// join makes a connection the receiver for its identity: the newest wins, for masters and for viewers with the same ID.
// The older one stays open but gets no more messages, like the service's, unless closeOld is set.
func (c *channel) join(sk *socket, maxViewers int, closeOld bool) *apiError {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.deleted {
		return notFound("channel")
	}
	old := c.current(sk.client)
	if sk.client == masterMailbox {
		c.master = sk
	} else {
		if old == nil && maxViewers >= 0 && len(c.viewers) >= maxViewers {
			return limitExceeded("the channel has %d viewers, the most it may have", len(c.viewers))
		}
		if c.viewers == nil {
			c.viewers = map[string]*socket{}
		}
		c.viewers[sk.client] = sk
	}
	if old != nil {
		c.displace(old, closeOld)
	}
	return nil
}

func (c *channel) displace(old *socket, closeIt bool) {
	c.deaf = append(c.deaf, old)
	c.endSession(old.client)
	if closeIt {
		old.end(ending{code: closeGoingAway, text: "a newer connection took over"})
	} else if len(c.deaf) > maxDeaf {
		c.deaf[0].end(ending{code: closeGoingAway})
	}
}

// leave removes a connection. Nothing switches back to an older one.
func (c *channel) leave(sk *socket) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.current(sk.client) != sk:
		for i, d := range c.deaf {
			if d == sk {
				c.deaf = append(c.deaf[:i], c.deaf[i+1:]...)
				break
			}
		}
	case sk.client == masterMailbox:
		c.master = nil
		c.endSession(sk.client)
	default:
		delete(c.viewers, sk.client)
		c.endSession(sk.client)
	}
}

// current returns the receiving connection of a client, or nil.
func (c *channel) current(client string) *socket {
	if client == masterMailbox {
		return c.master
	}
	return c.viewers[client]
}

// sockets returns every connection, including displaced ones.
func (c *channel) sockets() []*socket {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := append([]*socket(nil), c.deaf...)
	for _, v := range c.viewers {
		all = append(all, v)
	}
	if c.master != nil {
		all = append(all, c.master)
	}
	return all
}

// post puts a message into its recipient's mailbox. A viewer's message goes to the master, whatever recipient it names;
// the master's goes to the viewer that it names. (KVS dev guide, SendSdpOffer.)
func (c *channel) post(from *socket, m message, now time.Time, read Readings, f Faults) *apiError {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.toSession(from, m) {
		return nil
	}
	to := masterMailbox
	if from.client == masterMailbox {
		if !isID(m.RecipientClientID) {
			return invalidArgument("recipientClientId must match [a-zA-Z0-9_.-]{1,256}")
		}
		to = m.RecipientClientID
	}
	if answer := c.asking[to]; answer != nil && m.Action == sdpAnswer {
		delete(c.asking, to)
		answer <- m.MessagePayload
		return nil
	}
	return c.put(to, letter{
		kind: m.Action, from: from.client,
		frame: encode(relayed{SenderClientID: from.client, MessageType: m.Action, MessagePayload: m.MessagePayload}),
	}, now, read, f)
}

// put adds a letter for a client. The caller holds the mutex.
func (c *channel) put(to string, l letter, now time.Time, read Readings, f Faults) *apiError {
	l.expires = now.Add(time.Duration(c.ttl) * time.Second)
	there := c.current(to)
	switch {
	case there == nil && read.RefuseAbsent:
		return notFound("recipient")
	case there == nil && read.DropCandidates && l.kind == iceCandidate:
		return nil
	}
	box, err := c.box(to, now)
	if err != nil {
		return err
	}
	f.deliver(box, l)
	if there != nil {
		wake(there.wake)
	}
	return nil
}

func (c *channel) box(client string, now time.Time) (*mailbox, *apiError) {
	if b := c.boxes[client]; b != nil {
		return b, nil
	}
	if len(c.boxes) >= maxMailboxes {
		c.purgeLocked(now)
	}
	if len(c.boxes) >= maxMailboxes {
		return nil, limitExceeded("messages are kept for %d clients already", maxMailboxes)
	}
	if c.boxes == nil {
		c.boxes = map[string]*mailbox{}
	}
	b := &mailbox{}
	c.boxes[client] = b
	return b, nil
}

// next returns what a connection should write now: first frames for this connection alone, then its client's mailbox.
func (c *channel) next(sk *socket, now time.Time) (frame []byte, wait time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(sk.control) > 0 {
		frame, sk.control = sk.control[0], sk.control[1:]
		return frame, 0
	}
	b := c.boxes[sk.client]
	if b == nil || c.current(sk.client) != sk || sk.ended.Load() {
		return nil, 0
	}
	l, wait, ok := b.take(now)
	if len(b.letters) == 0 {
		delete(c.boxes, sk.client)
	}
	if !ok {
		return nil, wait
	}
	return l.frame, 0
}

// tell queues a frame for one connection alone. When the connection does not read its frames, the newest is lost.
func (c *channel) tell(sk *socket, frame []byte) {
	const most = 64
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(sk.control) < most && !sk.ended.Load() {
		sk.control = append(sk.control, frame)
	}
	wake(sk.wake)
}

// refuse reports an error to the sender, if its message had a correlation ID.
func (c *channel) refuse(sk *socket, m message, err *apiError) {
	if !isID(m.CorrelationID) {
		return
	}
	c.tell(sk, encode(relayed{MessageType: "STATUS_RESPONSE", StatusResponse: &statusResponse{
		CorrelationID: m.CorrelationID,
		ErrorType:     err.code,
		StatusCode:    strconv.Itoa(err.status),
		Description:   err.message,
	}}))
}

// purge drops expired messages.
func (c *channel) purge(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.purgeLocked(now)
}

func (c *channel) purgeLocked(now time.Time) {
	for id, b := range c.boxes {
		if b.purge(now); len(b.letters) == 0 {
			delete(c.boxes, id)
		}
	}
}

// close ends every connection of a deleted channel.
func (c *channel) close() {
	c.mu.Lock()
	c.deleted = true
	c.boxes = nil
	c.mu.Unlock()
	for _, sk := range c.sockets() {
		sk.end(ending{code: closeGoingAway, text: "channel deleted"})
	}
}
