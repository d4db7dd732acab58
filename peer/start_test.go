package peer

import (
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kvsagent/kvsagent/peer/fanout"
)

// TestFirefoxGetsTimeForItsKeys: nobody else waits.
func TestFirefoxGetsTimeForItsKeys(t *testing.T) {
	for file, want := range map[string]time.Duration{
		"firefox.sdp": fanout.LateKeys, "firefox-h264.sdp": fanout.LateKeys, "chromium.sdp": 0, "safari.sdp": 0,
		"c-sdk-viewer.sdp": 0,
	} {
		t.Run(file, func(t *testing.T) {
			text, err := os.ReadFile("testdata/" + file)
			if err != nil {
				t.Fatal(err)
			}
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				fanout.WaitForKeys(t.Context(), keysAfter(identityOf(string(text))))
				if waited := time.Since(began); waited != want {
					t.Errorf("waited %v, want %v", waited, want)
				}
			})
		})
	}
}
