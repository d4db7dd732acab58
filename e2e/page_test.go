package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/kvsagent/kvsagent/e2e/rig"
)

// TestOwnPageTakesEveryCodec: the status page offers what its browser decodes, the source's codec first.
func TestOwnPageTakesEveryCodec(t *testing.T) {
	t.Parallel()
	service := rig.StartKVS(t)
	for _, tt := range []struct {
		codec   string
		browser *rig.Browser
	}{{"VP9", &rig.Chromium}, {"VP9", &rig.Firefox}} {
		t.Run(tt.codec+" "+tt.browser.Name, func(t *testing.T) {
			name := strings.ToLower(tt.codec + "-" + tt.browser.Name)
			agent := rig.StartAgent(t, rig.Environment(rig.Keys...), service.URL, "", fmt.Sprintf(`
sources: {codec: {url: %q}}
channels: {%s: {source: codec, create: true}}
`, rig.BarsCommand(rig.IVF[tt.codec]), name))
			agent.Connected(t, name)
			p := tt.browser.Open(t, agent.StatusURL+"/")
			rig.Eventually(t, 30*time.Second, "a picture of "+tt.codec, func() (bool, any) {
				s := p.Stats().Video
				return s.Frames > 10 && strings.EqualFold(s.Codec, "video/"+tt.codec), s
			})
		})
	}
}

// TestOwnPageTellsTheCure: the status page shows why the master refuses, and what the owner can do about it.
func TestOwnPageTellsTheCure(t *testing.T) {
	t.Parallel()
	service := rig.StartKVS(t)
	agent := rig.StartAgent(t, rig.Environment(rig.Keys...), service.URL, "", `
sources:
  pattern: {url: "testpattern:?size=320x240&rate=15"}
channels:
  full: {source: pattern, create: true, max_viewers: 1}
  codec: {source: pattern, create: true}
`)
	page := rig.SDK{ARN: agent.Connected(t, "full"), Endpoint: service.URL, Role: "VIEWER", ClientID: "first"}
	page.Join(t, "offer").Moves(5)
	for _, tt := range []struct {
		browser       *rig.Browser
		channel, says string
		cure          string
	}{
		{&rig.Chromium, "full", "viewer-limit", "raise max_viewers"},
		{&rig.Firefox, "full", "viewer-limit", "raise max_viewers"},
		{&rig.Firefox, "codec", "no-common-codec", "another browser"},
	} {
		t.Run(tt.channel+" "+tt.browser.Name, func(t *testing.T) {
			agent.Connected(t, tt.channel)
			p := tt.browser.Open(t, agent.StatusURL+"/")
			rig.Eventually(t, 40*time.Second, "the reason and its cure", func() (bool, any) {
				p.Call(nil, "watchChannel", tt.channel)
				var text string
				p.Call(&text, "textOf", "#channels")
				text = strings.ToLower(text)
				return strings.Contains(text, tt.says) && strings.Contains(text, tt.cure), text
			})
		})
	}
}
