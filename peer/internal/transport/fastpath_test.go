package transport

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/kvsagent/kvsagent/peer/internal/wire"
	"github.com/pion/srtp/v3"
)

// A compound packet of more packets than anybody puts together is thrown away, and counted; so is what goes on to Pion,
// whatever it names; nobody reads extended reports.
func TestCrowdedDatagrams(t *testing.T) {
	tiny := []byte{0x80, 201, 0, 1, 0, 0, 0, 5}
	goodbye := []byte{0x80, 203, 0, 0}
	extended := []byte{0x80, 207, 0, 2, 0, 0, 0, 5, 4, 0, 0, 0}
	for _, tt := range []struct {
		name         string
		plain        []byte
		taken, heard bool
	}{
		{"as many as we read", bytes.Repeat(tiny, wire.CompoundMost), true, true},
		{"one more", bytes.Repeat(tiny, wire.CompoundMost+1), true, false},
		{"hundreds, of which none is a report", append(bytes.Repeat(tiny, 1), bytes.Repeat(goodbye, 1000)...), true,
			false},
		{"one for Pion that names no stream", append(bytes.Clone(tiny), goodbye...), false, false},
		{"an extended report", append(bytes.Clone(tiny), extended...), true, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			key, salt := bytes.Repeat([]byte{3}, 16), bytes.Repeat([]byte{4}, 12)
			theirs, err := srtp.CreateContext(key, salt, srtp.ProtectionProfileAeadAes128Gcm) // code that is not ours
			if err != nil {
				t.Fatal(err)
			}
			open, err := wire.NewSRTCPOpener(key, salt)
			if err != nil {
				t.Fatal(err)
			}
			var failed error
			heard := false
			in := &Inbound{limits: Limits{RTCP: 1}.Filled(), fail: func(err error) { failed = err }}
			reader := NewRTCPFastPath(open, in, func([]byte, *wire.Arena) { heard = true })
			reader.gone = time.Now().Add(time.Hour)
			for n := range 11 {
				packet, err := theirs.EncryptRTCP(nil, tt.plain, nil)
				if err != nil {
					t.Fatal(err)
				}
				if got := reader.take(packet, nil); got != tt.taken {
					t.Fatalf("taken: %v", got)
				}
				reader.gone = time.Now().Add(time.Hour)
				if n == 9 && failed != nil {
					t.Errorf("ten in ten seconds: %v", failed)
				}
			}
			if heard != tt.heard {
				t.Errorf("read: %v", heard)
			}
			if failed == nil || !strings.Contains(failed.Error(), "more than 10 rtcp packets") {
				t.Errorf("eleven where ten are allowed: %v", failed)
			}
		})
	}
}
