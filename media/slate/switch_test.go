package slate_test

import (
	"context"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kvsagent/kvsagent/media"
	"github.com/kvsagent/kvsagent/media/slate"
)

func TestParseHours(t *testing.T) {
	for text, want := range map[string]string{
		"22:00-06:00": "22:00-06:00",
		"9:30-17:45":  "09:30-17:45",
		"18:00-24:00": "18:00-00:00",
		"00:00-24:00": "00:00-00:00",
		"22:00":       "",
		"22-6":        "",
		"22:00-25:00": "",
		"22:60-23:00": "",
		"08:00-08:00": "",
		"":            "",
	} {
		h, err := slate.ParseHours(text)
		if want == "" && (err == nil || !strings.Contains(err.Error(), text)) || want != "" &&
			(err != nil || h.String() != want) {
			t.Errorf("%q: %v, %v, want %q", text, h, err, want)
		}
	}
}

// Over a day, the switch is on in its hours, to the minute.
func TestHours(t *testing.T) {
	for text, minutes := range map[string]int{"22:00-06:00": 480, "09:30-17:45": 495, "18:00-24:00": 360,
		"00:00-24:00": 1440, "23:59-00:00": 1} {
		h, err := slate.ParseHours(text)
		if err != nil {
			t.Fatal(err)
		}
		synctest.Test(t, func(t *testing.T) {
			on := 0
			for range 24 * 60 {
				if (slate.Switch{Hours: []slate.Hours{h}}).Why() != "" {
					on++
				}
				time.Sleep(time.Minute)
			}
			if on != minutes {
				t.Errorf("%s: on for %d minutes of a day, want %d", text, on, minutes)
			}
		})
	}
}

// A camera is closed when its hours begin, and open again when they end.
func TestPrivacyHours(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now().Truncate(time.Minute)
		h, err := slate.ParseHours(now.Add(2*time.Minute).Format("15:04") + "-" +
			now.Add(4*time.Minute).Format("15:04"))
		if err != nil {
			t.Fatal(err)
		}
		c := &camera{codec: media.H264}
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			_ = slate.Privacy(c, slate.Switch{Hours: []slate.Hours{h}}, slog.New(slog.DiscardHandler)).Run(ctx,
				&recorder{})
		})
		for _, open := range []bool{true, false, true} {
			time.Sleep(time.Minute)
			if c.isLive() != open {
				t.Errorf("%v: the camera runs: %t, want %t", time.Since(now), c.isLive(), open)
			}
			time.Sleep(time.Minute)
		}
		cancel()
		wg.Wait()
	})
}

func TestFlip(t *testing.T) {
	s := slate.Switch{File: filepath.Join(t.TempDir(), "private")}
	for _, on := range []bool{true, true, false, false, true} {
		if err := s.Flip(on); err != nil || (s.Why() != "") != on {
			t.Errorf("flipped %t: %v, %q", on, err, s.Why())
		}
	}
	s.File = filepath.Join(t.TempDir(), "nowhere", "private")
	if err := s.Flip(true); err == nil || !strings.Contains(err.Error(), "hint") {
		t.Errorf("a directory that is not there: %v", err)
	}
}
