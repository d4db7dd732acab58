package localkvs

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gorilla/websocket"
)

// Action is something that the service does once to connections.
type Action struct {
	// Do names the action:
	//
	//	go_away        sends GO_AWAY; the connection stays for as long as its owner likes
	//	reconnect_ice  sends RECONNECT_ICE_SERVER
	//	close          closes with Code (default 1001) and Text
	//	cut            closes TCP without a close frame
	//	reset          sends a TCP reset
	//	silent         reads and answers nothing more, pings neither
	//	empty          sends a frame without a byte
	//	unknown        sends a message of a type that does not exist
	//	garbage        sends a frame that is not JSON
	//	oversized      sends a message far beyond every limit
	//	frame          sends Text as it is
	Do   string `json:"do"`
	Code int    `json:"code,omitempty"`
	Text string `json:"text,omitempty"`

	Channel string `json:"channel,omitempty"` // name or ARN; default every channel
	Client  string `json:"client,omitempty"`  // a viewer's client id, or MASTER; default everybody
}

// Act runs an action on every connection that it names, and returns how many there were.
func (s *Server) Act(a Action) (int, error) {
	f, err := a.effect()
	if err != nil {
		return 0, err
	}
	n := 0
	for _, c := range s.channels.all() {
		if a.Channel != "" && a.Channel != c.name && a.Channel != c.arn {
			continue
		}
		for _, sk := range c.sockets() {
			if a.Client == "" || a.Client == sk.client || a.Client == roleMaster && sk.client == masterMailbox {
				f(sk)
				n++
			}
		}
	}
	s.opts.Log.Info("fault", "do", a.Do, "channel", a.Channel, "client", a.Client, "connections", n)
	return n, nil
}

func (a Action) effect() (func(*socket), error) {
	ends := func(e ending) (func(*socket), error) { return func(sk *socket) { sk.end(e) }, nil }
	sends := func(frame []byte) (func(*socket), error) {
		return func(sk *socket) { sk.channel.tell(sk, frame) }, nil
	}
	switch a.Do {
	case "go_away":
		return sends(goAway())
	case "reconnect_ice":
		return sends(encode(relayed{MessageType: "RECONNECT_ICE_SERVER"}))
	case "close":
		setDefault(&a.Code, closeGoingAway)
		if !validCloseCode(a.Code) || len(a.Text) > 123 {
			return nil, fmt.Errorf("close: code %d or text not allowed in a close frame; hint: 1000 to 1014 or 3000 "+
				"to 4999, text up to 123 bytes", a.Code)
		}
		return ends(ending{code: a.Code, text: a.Text})
	case "cut":
		return ends(ending{})
	case "reset":
		return ends(ending{reset: true})
	case "silent":
		return ends(ending{silent: true})
	case "empty":
		return sends([]byte{})
	case "unknown":
		return sends(encode(relayed{MessageType: "A_TYPE_OF_2038", MessagePayload: "e30="}))
	case "garbage":
		return sends([]byte("\x01{]garbage"))
	case "oversized":
		return sends(encode(relayed{MessageType: sdpOffer, MessagePayload: strings.Repeat("A", 1<<20)}))
	case "frame":
		return sends([]byte(a.Text))
	}
	return nil, fmt.Errorf("do: %.40q; hint: one of the actions in docs/localkvs.md", a.Do)
}

// validCloseCode reports whether a code may appear in a close frame (RFC 6455 section 7.4).
func validCloseCode(code int) bool {
	reserved := []int{1004, websocket.CloseNoStatusReceived, websocket.CloseAbnormalClosure}
	return code >= 1000 && code <= 1014 && !slices.Contains(reserved, code) || code >= 3000 && code <= 4999
}
