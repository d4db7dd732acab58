package rig

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
)

// Page is one page in the browser, closed with its test.
type Page struct {
	T       testing.TB
	Browser *Browser
	id      int
	joined  func() // takes part in a channel, as the page did when it was new
}

// OpenPage opens one in Chromium.
func OpenPage(t testing.TB, url string) *Page {
	t.Helper()
	return Chromium.Open(t, url)
}

// Call runs window.fn(args...) and puts what it resolves to into out, unless that is nil.
func (p *Page) Call(out any, fn string, args ...any) {
	p.T.Helper()
	a, err := p.Browser.do(command{Page: p.id, Call: fn, Args: args})
	if err != nil {
		p.T.Fatalf("%s: %s: %v", p.Browser.Name, fn, err)
	}
	if out == nil {
		return
	}
	if err := json.Unmarshal(a.Value, out); err != nil {
		p.T.Fatalf("%s: %s: %v in %s", p.Browser.Name, fn, err, a.Value)
	}
}

// Reload begins the page again, as a person does, and joins the channel under the same client id. It returns how long
// it took until there was a picture.
func (p *Page) Reload() time.Duration {
	p.T.Helper()
	began := time.Now()
	if _, err := p.Browser.do(command{Page: p.id, Reload: true}); err != nil {
		p.T.Fatalf("%s: reload: %v", p.Browser.Name, err)
	}
	p.joined()
	Eventually(p.T, 20*time.Second, "a picture after the page was reloaded", func() (bool, any) {
		s := p.Stats()
		return s.Video.Frames > 0 && s.Video.Width > 0, s
	})
	return time.Since(began)
}

// Stats is what browser/watch.js counts.
type Stats struct {
	Now         float64  `json:"now"` // milliseconds since the page began
	Connections []string `json:"connections"`
	Video       struct {
		Codec     string `json:"codec"`
		Frames    int    `json:"frames"`   // decoded
		Received  int    `json:"received"` // whole, decoded or not
		KeyFrames int    `json:"key_frames"`
		Width     int    `json:"width"`
		Height    int    `json:"height"`
		Lost      int    `json:"lost"`
		Dropped   int    `json:"dropped"` // whole and not decoded
		Freezes   int    `json:"freezes"` // as the browser counts them
		PLIs      int    `json:"plis"`    // key frames asked for
		NACKs     int    `json:"nacks"`   // packets asked for again
	} `json:"video"`
	Audio struct {
		Codec   string  `json:"codec"`
		Packets int     `json:"packets"`
		Lost    int     `json:"lost"`
		Energy  float64 `json:"energy"`
	} `json:"audio"`
	Pairs []string `json:"pairs"`
}

// Stats asks the page for its counts.
func (p *Page) Stats() (s Stats) {
	p.T.Helper()
	p.Call(&s, "stats")
	return s
}

// Plays waits until so many more frames were decoded, of the size and codec, and audio is heard.
func (p *Page) Plays(frames, width, height int, audioCodec string) Stats {
	p.T.Helper()
	first := p.Stats()
	var now Stats
	Eventually(p.T, 30*time.Second, fmt.Sprintf("%d frames of %dx%d decoded and %s heard", frames, width, height,
		audioCodec), func() (bool, any) {
		now = p.Stats()
		return now.Video.Frames >= first.Video.Frames+frames && now.Video.Width == width &&
			now.Video.Height == height &&
			now.Audio.Packets >= first.Audio.Packets+frames/2 && strings.EqualFold(now.Audio.Codec, audioCodec) &&
			now.Audio.Energy > 0, now
	})
	return now
}

// Moves waits until so many more frames were decoded, of any size, and sound arrives.
func (p *Page) Moves(frames int) Stats {
	p.T.Helper()
	first := p.Stats()
	var now Stats
	Eventually(p.T, 30*time.Second, fmt.Sprintf("%d frames decoded and sound", frames), func() (bool, any) {
		now = p.Stats()
		return now.Video.Frames >= first.Video.Frames+frames && now.Video.Width > 0 &&
			now.Audio.Packets >= first.Audio.Packets+frames/2, now
	})
	return now
}

// Pictures waits until so many more frames were decoded, of the size of the small pictures, in the codec.
func (p *Page) Pictures(frames int, codec string) {
	p.T.Helper()
	first := p.Stats()
	Eventually(p.T, 30*time.Second, fmt.Sprintf("%d frames of %s, %dx%d, decoded", frames, codec, CodecWidth,
		CodecHeight), func() (bool, any) {
		now := p.Stats().Video
		return now.Frames >= first.Video.Frames+frames && now.Width == CodecWidth && now.Height == CodecHeight &&
			now.Codec == codec, now
	})
}

// SameConnection fails the test when the viewer had to connect again.
func (p *Page) SameConnection(t testing.TB) {
	t.Helper()
	if got := p.Stats().Connections; len(got) != 1 || got[0] != "connected" {
		t.Errorf("connections = %v, want the first one still", got)
	}
}
