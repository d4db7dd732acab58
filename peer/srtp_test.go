package peer

import (
	"bytes"
	"crypto/rand"
	"testing"

	"github.com/pion/rtp"
	"github.com/pion/srtp/v3"
)

// TestSealIsWhatOthersOpen decrypts with an implementation that is not ours, over roll-overs of the sequence number.
func TestSealIsWhatOthersOpen(t *testing.T) {
	for _, tt := range []struct {
		profile srtp.ProtectionProfile
		keyLen  int
	}{{srtp.ProtectionProfileAeadAes128Gcm, 16}, {srtp.ProtectionProfileAeadAes256Gcm, 32}} {
		key, salt := make([]byte, tt.keyLen), make([]byte, 12)
		_, _ = rand.Read(key)
		_, _ = rand.Read(salt)
		ours, err := newSRTPCipher(key, salt)
		if err != nil {
			t.Fatal(err)
		}
		theirs, err := srtp.CreateContext(key, salt, tt.profile)
		if err != nil {
			t.Fatal(err)
		}
		payload := make([]byte, 300)
		for index := uint64(65_000); index < 200_000; index += 7 {
			h := rtp.Header{Version: 2, PayloadType: 96, SequenceNumber: uint16(index), Timestamp: uint32(index * 3000), SSRC: 0xdeadbeef}
			_, _ = rand.Read(payload[:16])
			b := make([]byte, rtpHeaderLen+len(payload), rtpHeaderLen+len(payload)+srtpTagLen)
			if _, err := h.MarshalTo(b); err != nil {
				t.Fatal(err)
			}
			copy(b[rtpHeaderLen:], payload)
			plain, err := theirs.DecryptRTP(nil, ours.seal(b, h.SSRC, index), nil)
			if err != nil {
				t.Fatalf("%v, index %d: %v", tt.profile, index, err)
			}
			if !bytes.Equal(plain[rtpHeaderLen:], payload) {
				t.Fatalf("%v, index %d: another payload came out", tt.profile, index)
			}
		}
	}
}

func BenchmarkSeal(b *testing.B) {
	c, err := newSRTPCipher(make([]byte, 16), make([]byte, 12))
	if err != nil {
		b.Fatal(err)
	}
	buf := make([]byte, rtpHeaderLen+maxPayload, rtpHeaderLen+maxPayload+srtpTagLen)
	b.SetBytes(maxPayload)
	b.ReportAllocs()
	index := uint64(0)
	for b.Loop() {
		c.seal(buf, 1, index)
		index++
	}
}
