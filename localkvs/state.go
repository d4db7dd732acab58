package localkvs

import (
	"cmp"
	"slices"
	"time"
)

// State is a snapshot of the service.
type State struct {
	Started  time.Time      `json:"started"`
	Now      time.Time      `json:"now"` // by the service's clock
	URL      string         `json:"url,omitempty"`
	TLSURL   string         `json:"tls_url,omitempty"`
	CAFile   string         `json:"ca_file,omitempty"`
	STUN     string         `json:"stun"`
	Faults   Faults         `json:"faults"`
	Channels []ChannelState `json:"channels"` // by region and name
	Messages []Record       `json:"messages"` // the last ones, newest first
}

// ChannelState is one channel.
type ChannelState struct {
	Name    string        `json:"name"`
	ARN     string        `json:"arn"`
	TTL     int           `json:"ttl"`     // seconds
	Sockets []SocketState `json:"sockets"` // master first, then viewers by client id
	Waiting []Waiting     `json:"waiting"` // by client
}

// SocketState is one WebSocket connection.
type SocketState struct {
	Role   string    `json:"role"`             // MASTER, VIEWER
	Client string    `json:"client,omitempty"` // a viewer's client id
	Remote string    `json:"remote"`
	Since  time.Time `json:"since"`
	Deaf   bool      `json:"deaf,omitempty"` // displaced by a newer connection
}

// Waiting is how many messages wait for one client.
type Waiting struct {
	Client   string `json:"client,omitempty"` // "" is the master
	Messages int    `json:"messages"`
}

// State returns the current state of the service.
func (s *Server) State() State {
	st := State{
		Started: s.started, Now: s.now(), URL: s.URL(), TLSURL: s.TLSURL(), CAFile: s.CAFile(), STUN: s.STUNURI(),
		Faults: s.Faults(), Channels: []ChannelState{}, Messages: s.recent.last(),
	}
	for _, c := range s.channels.all() {
		st.Channels = append(st.Channels, c.state())
	}
	return st
}

func (c *channel) state() ChannelState {
	all := c.sockets()
	c.mu.Lock()
	defer c.mu.Unlock()
	st := ChannelState{Name: c.name, ARN: c.arn, TTL: c.ttl, Sockets: []SocketState{}, Waiting: []Waiting{}}
	for _, sk := range all {
		st.Sockets = append(st.Sockets, SocketState{
			Role: sk.role(), Client: sk.client, Remote: sk.remote, Since: sk.since, Deaf: c.current(sk.client) != sk,
		})
	}
	slices.SortFunc(st.Sockets, func(a, b SocketState) int {
		return cmp.Or(cmp.Compare(a.Client, b.Client), a.Since.Compare(b.Since))
	})
	for client, b := range c.boxes {
		st.Waiting = append(st.Waiting, Waiting{Client: client, Messages: len(b.letters)})
	}
	slices.SortFunc(st.Waiting, func(a, b Waiting) int { return cmp.Compare(a.Client, b.Client) })
	return st
}
