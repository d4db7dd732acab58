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

	"github.com/kvsagent/kvsagent/e2e/rig"
	"github.com/kvsagent/kvsagent/status"
)

// TestCodecsToBrowser: what a command writes as IVF gets to the official SDK as it is, and is a picture there. There is
// no sound, and the viewer does not wait for any. While the source is closed he sees the slate in the same codec, in
// the connection that he has.
func TestCodecsToBrowser(t *testing.T) {
	service := rig.StartKVS(t)
	for codec, encoder := range rig.IVF {
		t.Run(codec, func(t *testing.T) {
			private := filepath.Join(t.TempDir(), "private")
			agent := rig.StartAgent(t, rig.Environment(rig.Keys...), service.URL, "", fmt.Sprintf(`
sources: {command: {url: %q, privacy_file: %q}}
channels: {codec-%s: {source: command, create: true}}
`, rig.BarsCommand(encoder), private, codec))
			arn := agent.Connected(t, "codec-"+codec)
			viewer := rig.SDK{ARN: arn, Endpoint: service.URL, Role: types.ChannelRoleViewer,
				ClientID: "browser-1"}.Join(t, "offer")
			viewer.Pictures(3*rig.CodecFPS, "video/"+codec)
			viewer.ShowsBars(t, "#remote")

			// Who comes in the middle of a group of pictures sees one, too.
			late := rig.SDK{ARN: arn, Endpoint: service.URL, Role: types.ChannelRoleViewer,
				ClientID: "browser-2"}.Join(t, "offer")
			late.Pictures(2*rig.CodecFPS, "video/"+codec)
			late.ShowsBars(t, "#remote")
			agent.Direct(t, "codec-"+codec)

			if err := os.WriteFile(private, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			viewer.ShowsSlate(t, "#remote")
			if got := viewer.Stats().Video; got.Codec != "video/"+codec || got.Width != 1280 {
				t.Errorf("the slate is %+v", got)
			}
			if err := os.Remove(private); err != nil {
				t.Fatal(err)
			}
			viewer.Pictures(2*rig.CodecFPS, "video/"+codec)
			viewer.ShowsBars(t, "#remote")
			viewer.SameConnection(t)
		})
	}
}

// TestCodecsToView counts what comes. It is the only judge of H.265, which Debian's Chromium does not decode.
func TestCodecsToView(t *testing.T) {
	t.Parallel()
	service := rig.StartKVS(t)
	encoders := maps.Clone(rig.IVF)
	encoders["H265"] = "-c:v libx265 -preset ultrafast -tune zerolatency -x265-params " +
		"log-level=error:bframes=0:repeat-headers=1 -f hevc"
	for codec, encoder := range encoders {
		t.Run(codec, func(t *testing.T) {
			agent := rig.StartAgent(t, rig.Environment(rig.Keys...), service.URL, "", fmt.Sprintf(`
sources: {command: {url: %q}}
channels: {view-%s: {source: command, create: true}}
`, rig.BarsCommand(encoder), codec))
			agent.Connected(t, "view-"+codec)
			out, errs, code := rig.Run(t, 40*time.Second, rig.Environment(rig.Keys...), rig.Binary, "view",
				"view-"+codec, "--endpoint", service.URL, "--duration", "4s", "-o", "json")
			var got rig.Watched
			if err := json.Unmarshal([]byte(out), &got); err != nil || code != 0 {
				t.Fatalf("exit %d, %v\n%s\n%s", code, err, out, errs)
			}
			report, err := agent.Report()
			if err != nil || len(report.Sources[0].Tracks) == 0 {
				t.Fatalf("report = %+v, %v", report.Sources, err)
			}
			// An encoder on a busy machine makes fewer pictures a second: the control.
			made := report.Sources[0].Tracks[0]
			pace := min(1, made.FPS/rig.CodecFPS)
			least, leastKeys := int(3*rig.CodecFPS*pace), int(3*pace)
			v := got.Video
			if v.Codec != codec || v.Width != rig.CodecWidth || v.Height != rig.CodecHeight ||
				v.Frames < least || v.Frames > 6*rig.CodecFPS || v.KeyFrames < max(1, leastKeys) || v.KeyFrames > 6 {
				t.Errorf("view saw %+v, want %d to %d frames of %dx%d, %d to 6 key frames among them; the encoder "+
					"made %+v",
					v, least, 6*rig.CodecFPS, rig.CodecWidth, rig.CodecHeight, max(1, leastKeys), made)
			}
		})
	}
}

// TestNoteOnThePage: why there is no sound, and what to do, is in the report and on the page.
func TestNoteOnThePage(t *testing.T) {
	t.Parallel()
	service := rig.StartKVS(t)
	agent := rig.StartAgent(t, rig.Environment(rig.Keys...), service.URL, "", `
sources:
  command:
    url: "exec:ffmpeg -nostdin -v error -re -f lavfi -i smptebars=size=320x180:rate=15 -re -f lavfi -i sine=frequency=440:sample_rate=48000"
    args: [-c:v, libx264, -preset, ultrafast, -tune, zerolatency, -g, "15", -pix_fmt, yuv420p, -c:a, aac, -f, mpegts, -flush_packets, "1", "-"]
    keep_warm: true
channels: {quiet: {source: command, create: true}}
`)
	var source status.Source
	rig.Eventually(t, 20*time.Second, "a note on the source", func() (bool, any) {
		r, err := agent.Report()
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
	own := rig.OpenPage(t, agent.StatusURL+"/")
	rig.Eventually(t, 10*time.Second, "the note on the page", func() (bool, any) {
		var text string
		own.Call(&text, "textOf", "#sources")
		return strings.Contains(text, "No sound: browsers do not take AAC"), text
	})
}
