package peer_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kvsagent/kvsagent/media"
	"github.com/pion/ice/v4"
	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"
)

// TestAViewerWithoutAPictureAsksForOne has a viewer that takes H.264 alone, and no offers (as the KVS JS viewer), ask
// for a key frame once a second, as browsers do that have no picture. The camera turns to VP8: that connection ends
// with the reason.
func TestAViewerWithoutAPictureAsksForOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		m, v := w.site(nat{}), w.site(nat{})
		w.start()
		var s webrtc.SettingEngine
		s.SetNet(v.line)
		s.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled) // which would be a real socket
		source := &changing{[][]media.Codec{{media.H264}, {media.VP8}}, 4 * time.Second}
		h, _, done := connectHostile(t, m.engine, broadcast(t, source, nil), s, true)
		ssrc := uint32(h.pc.GetReceivers()[0].Track().SSRC())
		for range 30 {
			_ = h.pc.WriteRTCP([]rtcp.Packet{&rtcp.PictureLossIndication{MediaSSRC: ssrc}})
			select {
			case err := <-done:
				if err == nil || !strings.Contains(err.Error(), "did not answer our offer") {
					t.Errorf("the connection ended with %v", err)
				}
				return
			case <-time.After(time.Second):
			}
		}
		t.Error("the connection goes on")
	})
}
