package localkvs

import (
	"encoding/base64"
	"time"
)

type empty struct{}

type singleMasterInput struct{ MessageTtlSeconds *int }

// ttl returns the requested time in seconds, 0 when none was given.
func (m *singleMasterInput) ttl() (int, *apiError) {
	if m == nil || m.MessageTtlSeconds == nil {
		return 0, nil
	}
	if t := *m.MessageTtlSeconds; t < 5 || t > 120 {
		return 0, invalidArgument("messageTtlSeconds must be 5 to 120, not %d", t)
	}
	return *m.MessageTtlSeconds, nil
}

type createInput struct {
	ChannelName, ChannelType  string
	SingleMasterConfiguration *singleMasterInput
	Tags                      []tag
}

func (s *Server) createChannel(c *call, in createInput) (any, *apiError) {
	if !isID(in.ChannelName) {
		return nil, invalidArgument("channelName must match [a-zA-Z0-9_.-]{1,256}")
	}
	setDefault(&in.ChannelType, "SINGLE_MASTER")
	if in.ChannelType != "SINGLE_MASTER" && in.ChannelType != "FULL_MESH" {
		return nil, invalidArgument("channelType must be SINGLE_MASTER or FULL_MESH")
	}
	ttl, err := in.SingleMasterConfiguration.ttl()
	if err != nil {
		return nil, err
	}
	tags, err := tagMap(in.Tags)
	if err != nil {
		return nil, err
	}
	ch := newChannel(c.region, in.ChannelName, in.ChannelType, ttl, tags, c.now)
	ch.doing, ch.settled = "CREATING", s.settled(c.now)
	if err := s.channels.add(ch); err != nil {
		return nil, err
	}
	return struct{ ChannelARN string }{ch.arn}, nil
}

type channelInput struct{ ChannelName, ChannelARN string }

func (s *Server) describeChannel(c *call, in channelInput) (any, *apiError) {
	ch, err := s.lookup(c, in.ChannelARN, in.ChannelName)
	if err != nil {
		return nil, err
	}
	return struct{ ChannelInfo channelInfo }{ch.info(c.now)}, nil
}

type changeInput struct {
	ChannelARN, CurrentVersion string
	SingleMasterConfiguration  *singleMasterInput
}

func (s *Server) updateChannel(c *call, in changeInput) (any, *apiError) {
	ttl, err := in.SingleMasterConfiguration.ttl()
	if err != nil {
		return nil, err
	}
	if !isVersion(in.CurrentVersion) {
		return nil, invalidArgument("currentVersion must match [a-zA-Z0-9]{1,64}")
	}
	ch, err := s.byARN(c, in.ChannelARN)
	if err != nil {
		return nil, err
	}
	defer s.channels.touch()
	return empty{}, ch.change(in.CurrentVersion, "UPDATING", c.now, s.settled(c.now), func() {
		if ttl != 0 {
			ch.ttl = ttl // of messages to come
		}
	})
}

func (s *Server) deleteChannel(c *call, in changeInput) (any, *apiError) {
	if in.CurrentVersion != "" && !isVersion(in.CurrentVersion) {
		return nil, invalidArgument("currentVersion must match [a-zA-Z0-9]{1,64}")
	}
	ch, err := s.byARN(c, in.ChannelARN)
	if err != nil {
		return nil, err
	}
	if err := ch.change(in.CurrentVersion, "DELETING", c.now, s.settled(c.now),
		func() { ch.deleted = true }); err != nil {
		return nil, err
	}
	ch.close()
	s.channels.touch()
	if ch.gone(c.now) {
		s.channels.remove(ch)
	}
	return empty{}, nil
}

// settled returns when a change that begins now will be over.
func (s *Server) settled(now time.Time) time.Time { return now.Add(max(0, s.opts.Limits.ActiveAfter)) }

// sweep removes the channels whose deletion is over.
func (s *Server) sweep(now time.Time) {
	for _, ch := range s.channels.all() {
		if ch.gone(now) {
			s.channels.remove(ch)
		}
	}
}

type listInput struct {
	MaxResults           *int
	NextToken            string
	ChannelNameCondition *struct{ ComparisonOperator, ComparisonValue string }
}

func (s *Server) listChannels(c *call, in listInput) (any, *apiError) {
	n := 500
	if in.MaxResults != nil {
		n = *in.MaxResults
	}
	if n < 1 || n > 10000 {
		return nil, invalidArgument("maxResults must be 1 to 10000, not %d", n)
	}
	var prefix string
	if cond := in.ChannelNameCondition; cond != nil {
		if cond.ComparisonOperator != "BEGINS_WITH" || !isID(cond.ComparisonValue) {
			return nil, invalidArgument("channelNameCondition must be BEGINS_WITH and the beginning of a name")
		}
		prefix = cond.ComparisonValue
	}
	after, e := base64.StdEncoding.DecodeString(in.NextToken)
	if e != nil || len(in.NextToken) > 512 {
		return nil, invalidArgument("nextToken is not from an earlier answer")
	}
	page, more := s.channels.list(c.region, prefix, string(after), n)
	out := struct {
		ChannelInfoList []channelInfo
		NextToken       string `json:",omitempty"`
	}{ChannelInfoList: make([]channelInfo, len(page))}
	for i, ch := range page {
		out.ChannelInfoList[i] = ch.info(c.now)
	}
	if more {
		out.NextToken = base64.StdEncoding.EncodeToString([]byte(page[len(page)-1].name))
	}
	return out, nil
}
