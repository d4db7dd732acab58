package localkvs

import (
	"encoding/base64"
	"strconv"
	"strings"
	"time"
)

// iceServer is a TURN server as clients see it.
type iceServer struct {
	Uris               []string
	Username, Password string
	Ttl                int
}

func (s *Server) getICEServers(c *call, in struct{ ChannelARN, ClientID, Service, Username string }) (any, *apiError) {
	switch {
	case in.ClientID != "" && !isID(in.ClientID), in.Username != "" && !isID(in.Username):
		return nil, invalidArgument("clientId and username must match [a-zA-Z0-9_.-]{1,256}")
	case in.Service != "" && in.Service != "TURN":
		return nil, invalidArgument("service must be TURN")
	}
	ch, err := s.byARN(c, in.ChannelARN)
	if err != nil {
		return nil, err
	}
	return struct{ IceServerList []iceServer }{[]iceServer{s.iceServer(ch, c.now)}}, nil
}

// iceServer returns the service's TURN server with credentials for a channel.
func (s *Server) iceServer(ch *channel, now time.Time) iceServer {
	life := max(0, s.opts.Limits.CredentialLife)
	user := strconv.FormatInt(now.Add(life).Unix(), 10) + ":" + base64.StdEncoding.EncodeToString([]byte("v1:"+ch.arn))
	return iceServer{Uris: s.turn.uris(), Username: user, Password: s.turnPassword(user), Ttl: int(life.Seconds())}
}

// turnPassword derives the password from the user name, so that nothing is stored and credentials outlive a restart.
func (s *Server) turnPassword(user string) string {
	return base64.StdEncoding.EncodeToString(mac([]byte(s.opts.SecretKey), "turn\n"+user))
}

// turnUser checks a user name: its channel must be known, and unless evenOld is set it must not have expired.
func (s *Server) turnUser(user string, evenOld bool) (arn string, ok bool) {
	until, rest, _ := strings.Cut(user, ":")
	unix, err := strconv.ParseInt(until, 10, 64)
	if err != nil {
		return "", false
	}
	text, err := base64.StdEncoding.DecodeString(rest)
	if err != nil {
		return "", false
	}
	arn, ok = strings.CutPrefix(string(text), "v1:")
	return arn, ok && s.channels.find(arn) != nil && (evenOld || s.now().Unix() <= unix)
}
