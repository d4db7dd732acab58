package transport

import (
	"bytes"
	"log/slog"
	"sync/atomic"
	"testing"

	"github.com/kvsagent/kvsagent/peer/internal/contain"
	"github.com/kvsagent/kvsagent/peer/internal/wire"
)

// TestCallbacksContainAPanic calls what Pion calls from goroutines of its own, with what makes it panic.
func TestCallbacksContainAPanic(t *testing.T) {
	for _, tt := range []struct {
		name string
		call func(*contain.Guard)
	}{
		{"media from the socket", func(g *contain.Guard) {
			_, _ = (&rtpBuffer{in: &Inbound{guard: g, Receive: true}}).Write(nil)
		}},
		{"reports from the socket", func(g *contain.Guard) {
			_, _ = rtcpBuffer{plainBuffer{nil}, &Inbound{guard: g, limits: (Limits{}).Filled()}}.Write(nil)
		}},
		{"a report that is taken from the socket", func(g *contain.Guard) {
			(&RTCPFastPath{in: &Inbound{guard: g}, open: &wire.SRTCPOpener{}}).take(bytes.Repeat([]byte{0xff}, 100),
				nil)
		}},
		{"a data channel", func(g *contain.Guard) {
			(&Inbound{guard: g, limits: (Limits{}).Filled()}).Channel(nil)
		}},
		{"an open data channel", func(g *contain.Guard) { (&Inbound{guard: g}).opened(nil) }},
		{"the DTLS handshake", func(g *contain.Guard) { (&SRTPKeys{guard: g}).learn(nil) }},
		{"a stream from a TURN server", func(g *contain.Guard) { _, _ = (&turnStream{guard: g}).Read(nil) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var n atomic.Uint64
			g := &contain.Guard{Wake: func() {}, Log: slog.New(slog.DiscardHandler), Panics: &n}
			tt.call(g)
			if n.Load() != 1 || g.Reason() == nil {
				t.Errorf("%d panics were counted, and the connection ends with %v", n.Load(), g.Reason())
			}
		})
	}
}
