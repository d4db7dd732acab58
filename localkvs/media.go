package localkvs

func (s *Server) describeStorage(c *call, in channelInput) (any, *apiError) {
	ch, err := s.lookup(c, in.ChannelARN, in.ChannelName)
	if err != nil {
		return nil, err
	}
	return struct{ MediaStorageConfiguration storage }{ch.media()}, nil
}

func (s *Server) updateStorage(c *call, in struct {
	ChannelARN                string
	MediaStorageConfiguration *storage
}) (any, *apiError) {
	m := in.MediaStorageConfiguration
	switch {
	case m == nil || m.Status != "ENABLED" && m.Status != "DISABLED":
		return nil, invalidArgument("mediaStorageConfiguration.status must be ENABLED or DISABLED")
	case m.StreamARN != "" && !isARN(m.StreamARN):
		return nil, invalidArgument("streamARN %.80q is not the ARN of a stream", m.StreamARN)
	case m.StreamARN == "" && m.Status == "ENABLED":
		return nil, invalidArgument("streamARN is required to enable storage")
	}
	ch, err := s.byARN(c, in.ChannelARN)
	if err != nil {
		return nil, err
	}
	if m.Status == "ENABLED" {
		for _, other := range s.channels.all() { // one stream stores one channel (KVS dev guide, WebRTC ingestion)
			if other != ch && other.media() == *m {
				return nil, inUse("the stream belongs to channel %s", other.name)
			}
		}
	}
	ch.setMedia(*m)
	s.channels.touch()
	return empty{}, nil
}
