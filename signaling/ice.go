package signaling

import (
	"log/slog"
	"time"
)

// ICEServer is a set of TURN addresses with one name and password (KVS API reference, IceServer).
type ICEServer struct {
	URLs     []string // turn: and turns:, with port and transport
	Username string
	Password string
	TTL      time.Duration // how long the service takes the password for a new allocation, from when it was fetched
}

// LogValue hides name and password.
func (s ICEServer) LogValue() slog.Value {
	return slog.GroupValue(slog.Any("urls", s.URLs), slog.Duration("ttl", s.TTL))
}
