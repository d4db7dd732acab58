package agent

import (
	"errors"

	"github.com/kvsagent/kvsagent/media"
	"github.com/kvsagent/kvsagent/peer"
	"github.com/kvsagent/kvsagent/signaling"
	"github.com/kvsagent/kvsagent/status"
)

// Storage mode (KVS WebRTC developer guide, "WebRTC ingestion"): the service itself is the peer of the master and of
// viewers. It makes the offers once the signaling client has joined the storage session, and has no client ID.

// storageService is the service's client ID among the clients of a channel, in either role.
const storageService = ""

// storedCodecs are the codecs that the service needs, both of them.
var storedCodecs = []media.Codec{media.H264, media.Opus}

// stores reports whether the channel has storage on.
func (ch *channel) stores() bool { return ch.now().client.Report().Storage }

// storeAgain joins the storage session again after ours has ended, unless the service's next offer has replaced it.
func (ch *channel) storeAgain(s *session) {
	if s.client != storageService || ch.sessions[storageService] != nil || !ch.stores() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	ch.now().client.Rejoin(errors.New(s.reason))
}

// reportStorage fills in the state of the storage session.
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
