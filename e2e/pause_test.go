package e2e

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesisvideo/types"

	"github.com/kvsagent/kvsagent/e2e/rig"
	"github.com/kvsagent/kvsagent/status"
)

// TestPausingPage: the official SDK's page pauses and resumes its picture and its sound by new offers, in Chromium and
// in Firefox. KVSAGENT_TEST_PAUSE=10m pauses for so long, too.
func TestPausingPage(t *testing.T) {
	t.Parallel()
	pauses := []time.Duration{time.Second, 10 * time.Second}
	if text := os.Getenv("KVSAGENT_TEST_PAUSE"); text != "" {
		long, err := time.ParseDuration(text)
		if err != nil {
			t.Fatal(err)
		}
		pauses = append(pauses, long)
	}
	service := rig.StartKVS(t)
	agent := rig.StartAgent(t, rig.Environment(rig.Keys...), service.URL, "", fmt.Sprintf(`
sources:
  h264: {url: "testpattern:?size=320x240&rate=15&gop=2s"}
  vp8: {url: %q}
channels:
  pause-chromium: {source: h264, create: true}
  pause-firefox: {source: vp8, create: true}
`, rig.BarsCommand(rig.IVF["VP8"])))
	for name, browser := range map[string]*rig.Browser{"chromium": &rig.Chromium, "firefox": &rig.Firefox} {
		t.Run(name, func(t *testing.T) {
			channel := "pause-" + name
			page := rig.SDK{ARN: agent.Connected(t, channel), Endpoint: service.URL, Role: types.ChannelRoleViewer,
				ClientID: name, Browser: browser}.Join(t, "offer")
			moving := func() int { return page.Stats().Video.Frames }
			rig.Eventually(t, 60*time.Second, "a picture", func() (bool, any) { n := moving(); return n > 5, n })
			video := func() status.Track {
				for _, p := range agent.Channel(t, channel).Peers {
					for _, s := range p.Sending {
						if s.Codec == "H264" || s.Codec == "VP8" {
							return s
						}
					}
				}
				t.Fatal("no picture is sent")
				return status.Track{}
			}
			direct := func(kind, direction, want string) {
				t.Helper()
				var got string
				if page.Call(&got, "direct", kind, direction); got != want {
					t.Errorf("%s %s became %q, want %q", kind, direction, got, want)
				}
			}
			for _, pause := range pauses {
				direct("video", "inactive", "inactive")
				rig.Pause(t, 300*time.Millisecond) // what is under way
				before := video()
				rig.Pause(t, pause)
				if after := video(); !after.Paused || after.Frames != before.Frames {
					t.Errorf("in a pause of %v the agent sent %d pictures, paused %v", pause,
						after.Frames-before.Frames, after.Paused)
				}
				direct("video", "recvonly", "recvonly")
				resumed, was := time.Now(), moving()
				rig.Eventually(t, 10*time.Second, "the picture goes on", func() (bool, any) {
					n := moving()
					return n > was+5 || n > 5 && n < was, fmt.Sprint(was, " then ", n)
				})
				t.Logf("after %v: six pictures in %v", pause, time.Since(resumed).Round(10*time.Millisecond))
			}
			if channel == "pause-chromium" { // the other source has no sound
				direct("audio", "inactive", "inactive")
				direct("audio", "recvonly", "recvonly")
				was := page.Stats().Audio.Packets
				rig.Eventually(t, 10*time.Second, "the sound goes on", func() (bool, any) {
					n := page.Stats().Audio.Packets
					return n > was+10 || n > 10 && n < was, fmt.Sprint(was, " then ", n)
				})
			}
			page.SameConnection(t)
			if channel == "pause-chromium" {
				stopAndAdd(t, agent, page, channel)
			}
		})
	}
}

// stopAndAdd stops the transceiver of the picture, and adds another. Chromium drops its connection with that section,
// and goes on with the sound over another; the picture comes back over that.
func stopAndAdd(t *testing.T, agent *rig.Agent, page *rig.Page, channel string) {
	t.Helper()
	page.Call(nil, "stopped", "video")
	packets := page.Stats().Audio.Packets
	rig.Eventually(t, 15*time.Second, "the sound goes on", func() (bool, any) {
		n := page.Stats().Audio.Packets
		return n > packets+20 || n > 20 && n < packets, fmt.Sprint(packets, " then ", n)
	})
	for _, p := range agent.Channel(t, channel).Peers {
		for _, s := range p.Sending {
			if s.Codec == "H264" {
				t.Errorf("a picture is sent to a page that has stopped its transceiver: %+v", s)
			}
		}
	}
	var got string
	if page.Call(&got, "added", "video"); got != "recvonly" {
		t.Errorf("another section of video became %q", got)
	}
	was := page.Stats().Video.Frames
	rig.Eventually(t, 15*time.Second, "the picture comes back in another section", func() (bool, any) {
		n := page.Stats().Video.Frames
		return n > was+5, fmt.Sprint(was, " then ", n)
	})
}
