package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesisvideo/types"

	"github.com/kvsagent/kvsagent/status"
)

// The pictures of a codec are small: encoders of AV1 share the machine with the browser.
const (
	codecWidth  = 320
	codecHeight = 180
	codecFPS    = 15
)

// barsCommand is ffmpeg's words for colour bars as a source, encoded as the words say: live, a key frame each second.
func barsCommand(words string) string {
	return fmt.Sprintf("exec:ffmpeg -nostdin -v error -re -f lavfi -i smptebars=size=%dx%d:rate=%d -pix_fmt yuv420p -g %d %s -flush_packets 1 -",
		codecWidth, codecHeight, codecFPS, codecFPS, words)
}

// ivf is ffmpeg's words for the codecs that IVF holds, by name in RTP.
var ivf = map[string]string{
	"VP8": "-c:v libvpx -deadline realtime -cpu-used 8 -b:v 400k -f ivf",
	"VP9": "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -b:v 400k -f ivf",
	"AV1": "-c:v libaom-av1 -usage realtime -cpu-used 8 -b:v 400k -f ivf",
}

// pictures waits until so many more frames were decoded, of the size of the small pictures, in the codec.
func (p *page) pictures(frames int, codec string) {
	p.t.Helper()
	first := p.stats()
	eventually(p.t, 30*time.Second, fmt.Sprintf("%d frames of %s, %dx%d, decoded", frames, codec, codecWidth, codecHeight), func() (bool, any) {
		now := p.stats().Video
		return now.Frames >= first.Video.Frames+frames && now.Width == codecWidth && now.Height == codecHeight && now.Codec == codec, now
	})
}

// TestCodecsToBrowser: what a command writes as IVF gets to the official SDK as it is, and is a picture there. There is no sound, and the
// viewer does not wait for any. While the source is closed he sees the slate in the same codec, in the connection that he has.
func TestCodecsToBrowser(t *testing.T) {
	service := startKVS(t)
	for codec, encoder := range ivf {
		t.Run(codec, func(t *testing.T) {
			private := filepath.Join(t.TempDir(), "private")
			agent := startAgent(t, environment(keys...), service.URL, "", fmt.Sprintf(`
sources: {command: {url: %q, privacy_file: %q}}
channels: {codec-%s: {source: command, create: true}}
`, barsCommand(encoder), private, codec))
			arn := agent.connected(t, "codec-"+codec)
			viewer := sdk{arn: arn, endpoint: service.URL, role: types.ChannelRoleViewer, clientID: "browser-1"}.join(t, "offer")
			viewer.pictures(3*codecFPS, "video/"+codec)
			viewer.showsBars(t, "#remote")

			// Who comes in the middle of a group of pictures sees one, too.
			late := sdk{arn: arn, endpoint: service.URL, role: types.ChannelRoleViewer, clientID: "browser-2"}.join(t, "offer")
			late.pictures(2*codecFPS, "video/"+codec)
			late.showsBars(t, "#remote")

			if err := os.WriteFile(private, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			viewer.showsSlate(t, "#remote")
			if got := viewer.stats().Video; got.Codec != "video/"+codec || got.Width != 1280 {
				t.Errorf("the slate is %+v", got)
			}
			if err := os.Remove(private); err != nil {
				t.Fatal(err)
			}
			viewer.pictures(2*codecFPS, "video/"+codec)
			viewer.showsBars(t, "#remote")
			viewer.sameConnection(t)
		})
	}
}

// TestCodecsToView counts what comes. It is the only judge of H.265, which Debian's Chromium does not decode.
func TestCodecsToView(t *testing.T) {
	service := startKVS(t)
	encoders := maps.Clone(ivf)
	encoders["H265"] = "-c:v libx265 -preset ultrafast -tune zerolatency -x265-params log-level=error:bframes=0:repeat-headers=1 -f hevc"
	for codec, encoder := range encoders {
		t.Run(codec, func(t *testing.T) {
			agent := startAgent(t, environment(keys...), service.URL, "", fmt.Sprintf(`
sources: {command: {url: %q}}
channels: {view-%s: {source: command, create: true}}
`, barsCommand(encoder), codec))
			agent.connected(t, "view-"+codec)
			out, errs, code := run(t, 40*time.Second, environment(keys...), binary, "view", "view-"+codec, "--endpoint", service.URL, "--duration", "4s", "-o", "json")
			var got watched
			if err := json.Unmarshal([]byte(out), &got); err != nil || code != 0 {
				t.Fatalf("exit %d, %v\n%s\n%s", code, err, out, errs)
			}
			v := got.Video
			if v.Codec != codec || v.Width != codecWidth || v.Height != codecHeight || v.Frames < 3*codecFPS || v.Frames > 6*codecFPS || v.KeyFrames < 3 || v.KeyFrames > 6 {
				t.Errorf("view saw %+v, want %d to %d frames of %dx%d, 3 to 6 key frames among them", v, 3*codecFPS, 6*codecFPS, codecWidth, codecHeight)
			}
		})
	}
}

// TestNoteOnThePage: why there is no sound, and what to do, is in the report and on the page.
func TestNoteOnThePage(t *testing.T) {
	service := startKVS(t)
	agent := startAgent(t, environment(keys...), service.URL, "", `
sources:
  command:
    url: "exec:ffmpeg -nostdin -v error -re -f lavfi -i smptebars=size=320x180:rate=15 -re -f lavfi -i sine=frequency=440:sample_rate=48000"
    args: [-c:v, libx264, -preset, ultrafast, -tune, zerolatency, -g, "15", -pix_fmt, yuv420p, -c:a, aac, -f, mpegts, -flush_packets, "1", "-"]
    keep_warm: true
channels: {quiet: {source: command, create: true}}
`)
	var source status.Source
	eventually(t, 20*time.Second, "a note on the source", func() (bool, any) {
		r, err := agent.report()
		if err != nil {
			return false, err
		}
		source = r.Sources[0]
		return len(source.Notes) == 1, source
	})
	const note = "no sound: browsers do not take AAC"
	if !strings.HasPrefix(source.Notes[0], note) || !strings.Contains(source.Notes[0], "audio: transcode") {
		t.Errorf("note = %q, want why there is no sound and what to do", source.Notes[0])
	}
	own := openPage(t, agent.statusURL+"/")
	eventually(t, 10*time.Second, "the note on the page", func() (bool, any) {
		var text string
		own.call(&text, "textOf", "#sources")
		return strings.Contains(text, "No sound: browsers do not take AAC"), text
	})
}
