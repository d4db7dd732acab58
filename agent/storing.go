package agent

import (
	"errors"

	"github.com/kvsagent/kvsagent/media"
	"github.com/kvsagent/kvsagent/peer"
	"github.com/kvsagent/kvsagent/signaling"
	"github.com/kvsagent/kvsagent/status"
)

// Storage mode (KVS WebRTC developer guide, "WebRTC ingestion"): the service itself is the peer of master and viewers.
// It makes the offers, when the signaling client has asked it to, and has no client id.

// storageService is how the service is called among the clients of a channel, by either role.
const storageService = ""

// storedCodecs are what the service takes, both or nothing.
var storedCodecs = []media.Codec{media.H264, media.Opus}

// stores says whether the channel has storage on.
func (ch *channel) stores() bool { return ch.client.Report().Storage }

// storeAgain joins the storage session again when the one we were in is over, and has not been replaced by the
// service's next offer.
func (ch *channel) storeAgain(s *session) {
	if s.client != storageService || ch.sessions[storageService] != nil || !ch.stores() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	ch.client.Rejoin(errors.New(s.reason))
}

// reportStorage fills in how the media gets to the stream.
func (ch *channel) reportStorage(r *status.Channel, c signaling.Report) {
	if !c.Storage {
		return
	}
	r.Storage, r.StorageError = "waiting", text(c.StorageErr)
	for _, p := range r.Peers {
		switch {
		case p.ClientID != storageService:
		case p.State == string(peer.Connected):
			r.Storage, r.StorageError = "connected", ""
		default:
			r.Storage = "connecting"
		}
	}
}
