package peer

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/kvsagent/kvsagent/media"
	"github.com/kvsagent/kvsagent/peer/fanout"
	"github.com/kvsagent/kvsagent/peer/internal/contain"
	"github.com/kvsagent/kvsagent/peer/internal/sdp"
	"github.com/kvsagent/kvsagent/peer/internal/transport"
	"github.com/pion/logging"
	"github.com/pion/transport/v5/vnet"
	"github.com/pion/webrtc/v4"
)

// FuzzOfferToPion gives Pion every offer that we would: whatever a viewer has written, it must not panic, and its
// answer is in proportion.
func FuzzOfferToPion(f *testing.F) {
	files, err := filepath.Glob("testdata/*.sdp")
	if err != nil || len(files) == 0 {
		f.Fatal("no offers in testdata", err)
	}
	f.Add(goodSDP)
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(crlf(string(b)))
	}
	network, err := vnet.NewNet(&vnet.NetConfig{})
	if err != nil {
		f.Fatal(err)
	}
	e, err := NewEngine(EngineOptions{Net: network})
	if err != nil {
		f.Fatal(err)
	}
	e.settings.LoggerFactory = &logging.DefaultLoggerFactory{DefaultLogLevel: logging.LogLevelDisabled}
	f.Fuzz(func(t *testing.T, text string) {
		if e.CheckOffer(text) != nil {
			return
		}
		offered, err := offeredCodecs(text)
		if err != nil {
			return
		}
		set, err := newCodecSet()
		if err != nil {
			t.Fatal(err)
		}
		if err := set.addUnused(offered["audio"]); err != nil {
			t.Fatal(err)
		}
		if c, ok := matchCodec(trackWithSPS("\x67\x42\xe0\x1f"), offered["video"]); ok {
			if err := set.add(media.H264, c.Fmtp); err != nil {
				t.Fatal(err)
			}
		}
		if err := set.addOthers(offered); err != nil {
			t.Fatal(err)
		}
		cert, err := e.certs.Get()
		if err != nil {
			t.Fatal(err)
		}
		pc, err := e.connection(set, cert, nil, webrtc.ICETransportPolicyAll, nil, e.newSockets(nil, func() {}),
			countingIn(false), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = pc.Close() }()
		if _, err := pc.AddTransceiverFromTrack(fanout.NewTrack(media.H264),
			webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly}); err != nil {
			t.Fatal(err)
		}
		if pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer,
			SDP: forbidding(text, sdp.Rule{Remotes: sdp.All})}) != nil {
			return
		}
		settle(pc)
		answer, err := pc.CreateAnswer(nil)
		if err != nil {
			return
		}
		if named := naming(answer.SDP, media.VP8); len(named) > len(answer.SDP)+500 ||
			!strings.HasPrefix(named, "v=0") {
			t.Errorf("a codec more makes\n%s\nof\n%s", named, answer.SDP)
		}
		if out := withMids(answer.SDP, text); len(out) > 2*len(text)+4000 {
			t.Errorf("an answer of %d bytes to an offer of %d", len(out), len(text))
		}
	})
}

// crlf gives a file the line ends of SDP (RFC 8866 section 5).
func crlf(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\n", "\r\n")
}

// countingIn counts what comes in on no connection.
func countingIn(receive bool) *transport.Inbound {
	g := &contain.Guard{Wake: func() {}, Log: slog.New(slog.DiscardHandler), Panics: new(atomic.Uint64)}
	return transport.NewInbound(transport.Limits{}.Filled(), receive, g, g.Log)
}
