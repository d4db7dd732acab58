package peer

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// TestShortened: an answer that carries its candidates fits into a message of the service whatever the number of the
// host's addresses (KVS dev guide, Limits: 10 k of base64). Host candidates go first, the last of them before the
// others; a relay is the last to go.
func TestShortened(t *testing.T) {
	head := "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n" + strings.Repeat("a=rtpmap:96 H264/90000\r\n", 100)
	for _, n := range []int{0, 10, 60, 200} {
		sdp := head
		for i := range n {
			sdp += fmt.Sprintf("a=candidate:%d 1 udp 2130706431 2001:db8:1111:2222:3333:4444:5555:%04x 50000 typ "+
				"host ufrag abcdefgh generation 0\r\n", i, i)
		}
		const relay = "a=candidate:9 1 udp 16777215 203.0.113.9 50000 typ relay raddr 0.0.0.0 rport 0 ufrag abcdefgh " +
			"generation 0\r\n"
		sdp += relay
		short := shortened(sdp)
		b, err := json.Marshal(struct {
			Type string `json:"type"`
			SDP  string `json:"sdp"`
		}{"answer", short})
		if err != nil {
			t.Fatal(err)
		}
		if size := base64.StdEncoding.EncodedLen(len(b)); size > 10_000 {
			t.Errorf("with %d host candidates the message has %d characters, at most 10000 fit", n, size)
		}
		if !strings.HasPrefix(short, head) || !strings.HasSuffix(short, relay) || n > 0 &&
			!strings.Contains(short, "a=candidate:0 ") {
			t.Errorf("with %d host candidates the description, the relay or the first candidate is gone:\n%s", n, short)
		}
		if n == 10 && short != sdp {
			t.Error("a description that fits was changed")
		}
	}
}
