package localkvs

import (
	"net/url"
	"slices"
)

// endpointItem is one endpoint of an answer.
type endpointItem struct{ Protocol, ResourceEndpoint string }

func (s *Server) getEndpoint(c *call, in struct {
	ChannelARN                               string
	SingleMasterChannelEndpointConfiguration *struct {
		Protocols []string
		Role      string
	}
}) (any, *apiError) {
	protocols, role := []string{"WSS", "HTTPS"}, roleMaster
	if conf := in.SingleMasterChannelEndpointConfiguration; conf != nil {
		setDefault(&conf.Role, roleMaster)
		role = conf.Role
		if len(conf.Protocols) > 0 {
			protocols = slices.Compact(slices.Sorted(slices.Values(conf.Protocols)))
		}
		if len(conf.Protocols) > 5 {
			return nil, invalidArgument("protocols must have at most 5 items")
		}
	}
	if role != roleMaster && role != roleViewer {
		return nil, invalidArgument("role must be MASTER or VIEWER")
	}
	ch, err := s.byARN(c, in.ChannelARN)
	if err != nil {
		return nil, err
	}
	var list []endpointItem
	for _, p := range protocols {
		switch {
		case p == "WEBRTC" && ch.media().Status != "ENABLED":
			return nil, invalidArgument("channel %s has no media storage, so it has no WEBRTC endpoint", ch.name)
		case p != "WSS" && p != "HTTPS" && p != "WEBRTC":
			return nil, invalidArgument("protocol %.20q must be WSS, HTTPS or WEBRTC", p)
		}
		list = append(list, endpointItem{p, s.endpoint(c, ch, p, role)})
	}
	return struct{ ResourceEndpointList []endpointItem }{list}, nil
}

// endpoint returns where the caller finds one protocol of a channel: the host and port that the call itself used,
// without a path. So it works over any name, address, port or tunnel that worked for the call.
func (s *Server) endpoint(c *call, ch *channel, protocol, role string) string {
	host := c.Host
	if moved := s.faults.get().EndpointHost; moved != "" {
		host = moved
	} else if s.opts.NamedEndpoints {
		letter := map[string]string{"WSS" + roleMaster: "m", "WSS" + roleViewer: "v", "HTTPS" + role: "r",
			"WEBRTC" + role: "w"}[protocol+role]
		host = letter + "-" + hexSum([]byte(ch.arn))[:8] + ".localhost"
		if port := (&url.URL{Host: c.Host}).Port(); port != "" {
			host += ":" + port
		}
	}
	scheme := "http"
	if protocol == "WSS" {
		scheme = "ws"
	}
	if c.TLS != nil {
		scheme += "s"
	}
	return scheme + "://" + host
}
