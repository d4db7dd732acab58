package wire

import (
	"bytes"
	"errors"
	"testing"

	"github.com/pion/rtcp"
	"github.com/pion/srtp/v3"
)

// remoteSRTCP encrypts RTCP as the remote does, with code that is not ours.
func remoteSRTCP(t testing.TB, profile srtp.ProtectionProfile, key, salt []byte) *srtp.Context {
	t.Helper()
	c, err := srtp.CreateContext(key, salt, profile)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestSRTCPOpens(t *testing.T) {
	for _, tt := range []struct {
		profile srtp.ProtectionProfile
		key     int
	}{{srtp.ProtectionProfileAeadAes128Gcm, 16}, {srtp.ProtectionProfileAeadAes256Gcm, 32}} {
		key, salt := bytes.Repeat([]byte{7}, tt.key), bytes.Repeat([]byte{9}, 12)
		theirs := remoteSRTCP(t, tt.profile, key, salt)
		ours, err := NewSRTCPOpener(key, salt)
		if err != nil {
			t.Fatal(err)
		}
		var before [][]byte
		for i := range 300 {
			plain, err := (&rtcp.ReceiverReport{SSRC: uint32(i % 3),
				Reports: make([]rtcp.ReceptionReport, i%20)}).Marshal()
			if err != nil {
				t.Fatal(err)
			}
			packet, err := theirs.EncryptRTCP(nil, plain, nil)
			if err != nil {
				t.Fatal(err)
			}
			if i%10 == 3 { // one that was changed on the way is nobody's
				for at := range packet {
					bad := bytes.Clone(packet)
					bad[at] ^= 0x10
					if _, err := ours.Open(nil, bad); !errors.Is(err, errNotOurs) {
						t.Fatalf("%v: byte %d is another: %v", tt.profile, at, err)
					}
				}
			}
			kept := bytes.Clone(packet)
			got, err := ours.Open(nil, packet)
			if err != nil || !bytes.Equal(got, plain) {
				t.Fatalf("%v, packet %d: %x, %v, want %x", tt.profile, i, got, err, plain)
			}
			if !bytes.Equal(kept, packet) {
				t.Fatalf("%v: the packet was changed, and Pion may need it", tt.profile)
			}
			before = append(before, kept)
		}
		for i, packet := range before {
			if _, err := ours.Open(nil, packet); !errors.Is(err, ErrReplayed) {
				t.Errorf("%v: packet %d once more: %v", tt.profile, i, err)
			}
		}
		for n := range srtcpLeast + 1 {
			if _, err := ours.Open(nil, make([]byte, n)); !errors.Is(err, errNotOurs) {
				t.Errorf("%d zeros: %v", n, err)
			}
		}
	}
}

// TestReplay compares with a set of all that came.
func TestReplay(t *testing.T) {
	var r replay
	came := map[uint32]bool{}
	highest := uint32(0)
	for _, index := range []uint32{0, 0, 5, 3, 3, 4, 5, 68, 5, 4, 6, 69, 133, 68, 70, 71, 200, 1000, 999, 936, 937,
		1<<31 - 1, 1<<31 - 2, 1000, 1<<31 - 64, 1<<31 - 65} {
		old := highest > 63 && index <= highest-64
		if got, want := r.fresh(index), !came[index] && !old; got != want {
			t.Errorf("%d is fresh: %v, want %v", index, got, want)
		}
		came[index], highest = true, max(highest, index)
	}
}
