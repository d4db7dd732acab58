package agent_test

import (
	"strings"
	"testing"

	"github.com/kvsagent/kvsagent/agent"
	"github.com/kvsagent/kvsagent/config"
)

// Every kind of source in the config can be made, and errors carry the source's name.
func TestCheckSources(t *testing.T) {
	for url, want := range map[string]string{
		"rtsp://192.0.2.1/stream":             "",
		"rtsps://192.0.2.1/stream":            "",
		"file:/srv/loop.mp4":                  "",
		"testpattern:?size=640x360":           "",
		"exec:ffmpeg -i 'a b' -f mpegts -":    "",
		"v4l2:/dev/video0?alsa=default":       "",
		"libcamera:":                          "",
		"rtp:/etc/encoder.sdp?from=192.0.2.1": "",
		"mpegts://127.0.0.1:5000":             "",
		"testpattern:?size=1x1":               "source gate: testpattern:?size=1x1: size 1x1",
		"exec:camera 'x":                      "source gate: exec source: unclosed quote '",
		"v4l2:/dev/video0?rate=x":             `source gate: v4l2:/dev/video0?rate=x: rate "x"`,
		"rtp:x.sdp?y=z":                       `unknown or repeated option "y"`,
		"mpegts://example.org:5000":           "not an IP address",
		"gopher://192.0.2.1/":                 `unknown kind of source "gopher"`,
	} {
		for _, audio := range []config.Audio{config.AudioPass, config.AudioTranscode, config.AudioOff} {
			err := agent.CheckSources(&config.Config{Sources: map[string]config.Source{"gate": {URL: url,
				Audio: audio}}})
			if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
				t.Errorf("%s, audio %s: %v, want %s", url, audio, err, want)
			}
		}
	}
}

// FuzzSourceURL reads URLs of every kind of source: no panic, and an error that never shows the password of a camera.
func FuzzSourceURL(f *testing.F) {
	for _, url := range []string{
		"rtsp://admin:s3same@192.0.2.1:554/main?channel=1", "rtsps://cam/1", "file:/srv/loop.mp4",
		"testpattern:?size=640x360&rate=15&gop=1s",
		"exec:ffmpeg -i 'a b' \"c\\\"d\" -",
		"v4l2:/dev/video0?size=640x480&rate=15&alsa=hw:1,0&bitrate=2M&encoder=libx264", "libcamera:1?size=1920x1080",
		"rtp:/etc/encoder.sdp?from=192.0.2.1&interface=eth0", "mpegts://239.0.0.1:5000?interface=eth0&from=::1",
	} {
		f.Add(url)
	}
	f.Fuzz(func(t *testing.T, url string) {
		check := func(raw string) error {
			return agent.CheckSources(&config.Config{Sources: map[string]config.Source{"gate": {URL: raw}}})
		}
		_ = check(url)
		if err := check("rtsp://admin:s3same@" + url); err != nil && strings.Contains(err.Error(), "s3same") &&
			!strings.Contains(url, "s3same") {
			t.Errorf("the error shows the password: %v", err)
		}
	})
}
