package fanout

import (
	"bytes"
	"crypto/rand"
	"testing"
	"time"

	"github.com/kvsagent/kvsagent/media"
	"github.com/kvsagent/kvsagent/peer/internal/wire"
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
		ours, err := wire.NewSRTPCipher(key, salt)
		if err != nil {
			t.Fatal(err)
		}
		theirs, err := srtp.CreateContext(key, salt, tt.profile)
		if err != nil {
			t.Fatal(err)
		}
		payload := make([]byte, 300)
		for index := uint64(65_000); index < 200_000; index += 7 {
			h := rtp.Header{Version: 2, PayloadType: 96, SequenceNumber: uint16(index), Timestamp: uint32(index * 3000),
				SSRC: 0xdeadbeef}
			_, _ = rand.Read(payload[:16])
			b := make([]byte, wire.RTPHeaderLen+len(payload), wire.RTPHeaderLen+len(payload)+wire.SRTPTagLen)
			if _, err := h.MarshalTo(b); err != nil {
				t.Fatal(err)
			}
			copy(b[wire.RTPHeaderLen:], payload)
			plain, err := theirs.DecryptRTP(nil, ours.Seal(b, wire.RTPHeaderLen, h.SSRC, index), nil)
			if err != nil {
				t.Fatalf("%v, index %d: %v", tt.profile, index, err)
			}
			if !bytes.Equal(plain[wire.RTPHeaderLen:], payload) {
				t.Fatalf("%v, index %d: another payload came out", tt.profile, index)
			}
		}
	}
}

func BenchmarkSeal(b *testing.B) {
	c, err := wire.NewSRTPCipher(make([]byte, 16), make([]byte, 12))
	if err != nil {
		b.Fatal(err)
	}
	buf := make([]byte, wire.RTPHeaderLen+wire.MaxPayload, wire.RTPHeaderLen+wire.MaxPayload+wire.SRTPTagLen)
	b.SetBytes(wire.MaxPayload)
	b.ReportAllocs()
	index := uint64(0)
	for b.Loop() {
		c.Seal(buf, wire.RTPHeaderLen, 1, index)
		index++
	}
}

// FuzzHeader has packets of any frame patched for any viewer, sealed, and opened by an implementation that is not ours.
func FuzzHeader(f *testing.F) {
	f.Add([]byte{0x65, 1, 2, 3}, uint64(65_530), uint32(4711), uint32(0xfffffff0), int64(time.Hour), byte(96))
	f.Add(make([]byte, 5000), uint64(1)<<40, uint32(0), uint32(0), int64(0), byte(127))
	key, salt := make([]byte, 16), make([]byte, 12)
	f.Fuzz(func(t *testing.T, unit []byte, next uint64, ssrc, base uint32, pts int64, pt byte) {
		if len(unit) < 2 || len(unit) > 100_000 || pts < 0 {
			return
		}
		next &= 1<<47 - 1 // RFC 3711 section 3.3.1: an index has 48 bits
		p, err := (&packetiser{}).packetise(&media.Frame{Codec: media.H264, PTS: time.Duration(pts),
			Data: [][]byte{unit}})
		if err != nil {
			t.Fatal(err)
		}
		c, err := wire.NewSRTPCipher(key, salt)
		if err != nil {
			t.Fatal(err)
		}
		theirs, err := srtp.CreateContext(key, salt, srtp.ProtectionProfileAeadAes128Gcm)
		if err != nil {
			t.Fatal(err)
		}
		theirs.SetROC(ssrc, uint32(next>>16))
		track := NewTrack(media.H264)
		track.ssrc, track.base, track.pt, track.next = ssrc, base, pt&0x7f, next
		header := wire.RTPHeaderLen
		if pt&0x80 != 0 {
			track.twcc, header = 1+pt&7, wire.HeaderMost
		}
		a := wire.NewArena(2 * wire.ArenaBytes)
		packets := a.Slot(2 * wire.ArenaBytes) // where they come to lie, one behind the other
		d := &wire.Direct{Cipher: c}
		for i := range p.payloads {
			track.seal(&sentFrame{next, base + rtpTime(time.Duration(pts), 90000), p}, i, time.Now(), d, a)
		}
		packets = packets[:cap(packets)]
		for i := range p.payloads {
			n := header + p.payloads[i].size() + wire.SRTPTagLen
			plain, err := theirs.DecryptRTP(nil, packets[:n], nil)
			if err != nil {
				t.Fatalf("packet %d of %d: %v", i, len(p.payloads), err)
			}
			packets = packets[n:]
			var got rtp.Packet
			if err := got.Unmarshal(plain); err != nil {
				t.Fatal(err)
			}
			want := rtp.Header{
				Version: 2, Marker: i == len(p.payloads)-1, PayloadType: pt & 0x7f,
				SequenceNumber: uint16(next + uint64(i)),
				Timestamp:      base + rtpTime(time.Duration(pts), 90000), SSRC: ssrc,
			}
			if got.Marker != want.Marker || got.PayloadType != want.PayloadType ||
				got.SequenceNumber != want.SequenceNumber ||
				got.Timestamp != want.Timestamp || got.SSRC != want.SSRC ||
				!bytes.Equal(got.Payload, p.payloads[i].appendTo(nil)) {
				t.Fatalf("packet %d came out as %+v, want %+v", i, got.Header, want)
			}
			if wide := got.GetExtension(track.twcc); track.twcc != 0 &&
				!bytes.Equal(wide, []byte{byte(i >> 8), byte(i)}) {
				t.Fatalf("packet %d has the transport-wide number %v", i, wide)
			}
		}
	})
}
