package localkvs

import "time"

// sendAlexaOffer passes an offer to the master and waits for its answer, for as long as a message lives. The
// documentation does not say what a caller gets after that; here it is ResourceNotFoundException. (KVS dev guide,
// SendAlexaOfferToMaster.)
func (s *Server) sendAlexaOffer(c *call, in struct {
	ChannelARN, SenderClientId,
	MessagePayload string
}) (any, *apiError) {
	switch {
	case !isID(in.SenderClientId):
		return nil, invalidArgument("senderClientId must match [a-zA-Z0-9_.-]{1,256}")
	case in.MessagePayload == "" || len(in.MessagePayload) > maxPayload || !isBase64(in.MessagePayload):
		return nil, invalidArgument("messagePayload must have 1 to %d characters of base64", maxPayload)
	}
	ch, err := s.byARN(c, in.ChannelARN)
	if err != nil {
		return nil, err
	}
	answer, ttl, err := ch.ask(in.SenderClientId, in.MessagePayload, c.now, s.opts.Readings, s.faults.get())
	if err != nil {
		return nil, err
	}
	defer ch.stopAsking(in.SenderClientId, answer)
	patience := time.NewTimer(ttl)
	defer patience.Stop()
	select {
	case payload := <-answer:
		return struct{ Answer string }{payload}, nil
	case <-patience.C:
		return nil, notFound("answer of a master")
	case <-c.Context().Done():
		return nil, unavailable("the caller or the service went away")
	}
}

// ask puts an offer into the master's mailbox. The first answer to its sender arrives on the returned channel.
func (c *channel) ask(sender, payload string, now time.Time, read Readings,
	f Faults) (chan string, time.Duration, *apiError) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.asking[sender] != nil || len(c.asking) >= maxMailboxes {
		return nil, 0, limitExceeded("%s waits for an answer already, or too many do", sender)
	}
	if err := c.put(masterMailbox, letter{
		kind: sdpOffer, from: sender,
		frame: encode(relayed{SenderClientID: sender, MessageType: sdpOffer, MessagePayload: payload}),
	}, now, read, f); err != nil {
		return nil, 0, err
	}
	if c.asking == nil {
		c.asking = map[string]chan string{}
	}
	answer := make(chan string, 1)
	c.asking[sender] = answer
	return answer, time.Duration(c.ttl) * time.Second, nil
}

func (c *channel) stopAsking(sender string, answer chan string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.asking[sender] == answer {
		delete(c.asking, sender)
	}
}
