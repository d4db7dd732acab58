package rtsp_test

import (
	"strings"
	"testing"
	"time"

	"github.com/kvsagent/kvsagent/media/rtsp"
)

// TestSeldomKeys: key frames further apart than 15 s are told, once, and others are not.
func TestSeldomKeys(t *testing.T) {
	for every, want := range map[time.Duration]int{
		2 * time.Second: 0, 10 * time.Second: 0, 14 * time.Second: 0, 16 * time.Second: 1, time.Minute: 1, time.Hour: 1,
	} {
		var k rtsp.Keys
		told := 0
		for at := time.Duration(0); at < 5*time.Minute; at += 100 * time.Millisecond {
			if note := k.Frame(at%every == 0, time.Unix(0, 0).Add(at)); note != "" {
				if told++; !strings.Contains(note, "hint: set the camera's key frame (I-frame) interval") {
					t.Errorf("note: %s", note)
				}
			}
		}
		if told != want {
			t.Errorf("a key frame every %v: told %d times, want %d", every, told, want)
		}
	}
}
