package pipe_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"github.com/kvsagent/kvsagent/media/pipe"
)

// The devices of hosts, as their kernels name them.
var (
	raspberry4 = fstest.MapFS{
		"sys/class/video4linux/video10/name": {Data: []byte("bcm2835-codec-decode\n")},
		"sys/class/video4linux/video11/name": {Data: []byte("bcm2835-codec-encode\n")},
		"sys/class/video4linux/video12/name": {Data: []byte("bcm2835-codec-isp\n")},
		"dev/dri/renderD128":                 {}, // draws, and does not encode
	}
	intel  = fstest.MapFS{"dev/dri/card0": {}, "dev/dri/renderD128": {}}
	nvidia = fstest.MapFS{"dev/nvidia0": {}, "dev/nvidiactl": {}}
	both   = fstest.MapFS{"dev/dri/renderD128": {}, "dev/nvidia0": {}}
	webcam = fstest.MapFS{"sys/class/video4linux/video0/name": {Data: []byte("HD Pro Webcam C920\n")}}
	// Has "enc" in its name, but is not an encoder.
	meeting   = fstest.MapFS{"sys/class/video4linux/video0/name": {Data: []byte("ConferenceCam Connect\n")}}
	noDevices = fstest.MapFS{}
)

// A hardware encoder comes before x264, which is better than OpenH264. An encoder without a device is not tried, and
// one that does not work is not used.
func TestFindEncoders(t *testing.T) {
	for name, tt := range map[string]struct {
		root        fstest.MapFS
		fail        []string
		tried, want string
	}{
		"Raspberry Pi 4": {raspberry4, []string{"h264_vaapi"},
			"h264_v4l2m2m h264_vaapi libx264 libopenh264", "h264_v4l2m2m libx264 libopenh264"},
		"VA-API": {intel, nil, "h264_vaapi libx264 libopenh264", "h264_vaapi libx264 libopenh264"},
		"NVIDIA": {nvidia, []string{"libopenh264"}, "h264_nvenc libx264 libopenh264",
			"h264_nvenc libx264"},
		"NVIDIA beside VA-API": {both, nil, "h264_vaapi h264_nvenc libx264 libopenh264",
			"h264_vaapi h264_nvenc libx264 libopenh264"},
		"a driver that is too old": {nvidia, []string{"h264_nvenc"}, "h264_nvenc libx264 libopenh264",
			"libx264 libopenh264"},
		"a webcam": {webcam, nil, "libx264 libopenh264", "libx264 libopenh264"},
		"a webcam with a name": {meeting, []string{"h264_v4l2m2m"}, "h264_v4l2m2m libx264 libopenh264",
			"libx264 libopenh264"},
		"nothing":                   {noDevices, nil, "libx264 libopenh264", "libx264 libopenh264"},
		"ffmpeg without an encoder": {noDevices, []string{"libx264", "libopenh264"}, "libx264 libopenh264", ""},
		"ffmpeg without x264":       {noDevices, []string{"libx264"}, "libx264 libopenh264", "libopenh264"},
		"hardware that does nothing": {both, []string{"h264_vaapi", "h264_nvenc"},
			"h264_vaapi h264_nvenc libx264 libopenh264", "libx264 libopenh264"},
	} {
		var tried []string
		have := pipe.FindEncoders(t.Context(), tt.root, func(_ context.Context, encoder string) bool {
			tried = append(tried, encoder)
			return !slices.Contains(tt.fail, encoder)
		})
		if strings.Join(have, " ") != tt.want || strings.Join(tried, " ") != tt.tried {
			t.Errorf("%s: tried %v, found %v; want %s, %s", name, tried, have, tt.tried, tt.want)
		}
	}
}

// A driver that hangs is abandoned, and the next one is tried all the same. A cancelled trial finds nothing.
func TestFindEncodersBesideOneThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		works := func(ctx context.Context, encoder string) bool {
			if encoder == "h264_vaapi" {
				<-ctx.Done()
			}
			return ctx.Err() == nil
		}
		began := time.Now()
		have := pipe.FindEncoders(t.Context(), both, works)
		if want := []string{"h264_nvenc", "libx264", "libopenh264"}; !slices.Equal(have, want) ||
			time.Since(began) > 10*time.Second {
			t.Errorf("%v after %v, want %v", have, time.Since(began), want)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if have := pipe.FindEncoders(ctx, both, works); len(have) != 0 {
			t.Errorf("%v", have)
		}
	})
}

// The classes of devices are links in a real tree, which is looked through as the made-up ones are.
func TestFindEncodersThroughLinks(t *testing.T) {
	root := t.TempDir()
	device, class := filepath.Join(root, "sys/devices/platform/codec/video4linux/video11"), filepath.Join(root,
		"sys/class/video4linux")
	for _, err := range []error{
		os.MkdirAll(device, 0o700), os.MkdirAll(class, 0o700),
		os.WriteFile(filepath.Join(device, "name"), []byte("bcm2835-codec-encode\n"), 0o600),
		os.Symlink("../../devices/platform/codec/video4linux/video11", filepath.Join(class, "video11")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	have := pipe.FindEncoders(t.Context(), os.DirFS(root), func(context.Context, string) bool { return true })
	if have[0] != "h264_v4l2m2m" {
		t.Errorf("%v", have)
	}
}

// The trial tells a working encoder from one that does not work.
func TestWorks(t *testing.T) {
	for encoder, want := range map[string]bool{"libx264": true, "no_such_encoder": false} {
		if have := pipe.Works(t.Context(), encoder); have != want {
			t.Errorf("%s works: %t, want %t; a test needs it: apt-get install ffmpeg", encoder, have, want)
		}
	}
}

// help returns ffmpeg's help on a topic.
func help(t *testing.T, topic ...string) string {
	t.Helper()
	out, err := exec.Command("ffmpeg", append([]string{"-v", "quiet", "-h"}, topic...)...).Output()
	if err != nil {
		t.Fatalf("ffmpeg (a test needs it: apt-get install ffmpeg): %v", err)
	}
	return string(out)
}

// options returns those that a help text names, each with the words that it may be set to; none when it may be others,
// too.
func options(text string) map[string][]string {
	all, last := map[string][]string{}, ""
	for line := range strings.Lines(text) {
		if m := optionLine.FindStringSubmatch(line); m != nil {
			last = m[1]
			all[last] = nil
		} else if m := wordLine.FindStringSubmatch(line); m != nil && last != "" {
			all[last] = append(all[last], m[1])
		} else {
			last = ""
		}
	}
	return all
}

var (
	optionLine = regexp.MustCompile(`^ {0,2}-([a-z0-9_-]+)\s`)
	wordLine   = regexp.MustCompile(`^ {5}([A-Za-z0-9_.+-]+) .* [E.][D.][F.]?[V.]`)
)

// section returns a part of a help text, up to the next heading.
func section(text, heading string) string {
	_, text, _ = strings.Cut(text, heading)
	at := headingLine.FindStringIndex(text)
	if at == nil {
		return text
	}
	return text[:at[0]]
}

var headingLine = regexp.MustCompile(`(?m)^\S.*:$`)

// The installed ffmpeg knows every option of every preset, and each value where the help lists them, also for encoders
// whose hardware is not here.
func TestPresetOptions(t *testing.T) {
	full := help(t, "full")
	general := options(full[:strings.Index(full, "AVCodecContext AVOptions:")])
	coding, format := options(section(full, "AVCodecContext AVOptions:")), options(section(full,
		"AVFormatContext AVOptions:"))
	if len(general) < 50 || len(coding) < 50 || len(format) < 20 {
		t.Fatalf("the help of ffmpeg is read wrongly: %d, %d and %d options", len(general), len(coding), len(format))
	}
	common := []map[string][]string{general, coding, format, options(help(t, "demuxer=v4l2")),
		options(help(t, "muxer=mpegts")), options(help(t, "encoder=libopus"))}
	for _, encoder := range []string{"copy", "h264_v4l2m2m", "h264_vaapi", "h264_nvenc", "libx264", "libopenh264"} {
		known := common
		if text := help(t, "encoder="+encoder); strings.Contains(text, "Encoder "+encoder) {
			known = append([]map[string][]string{options(text)}, common...)
		} else if encoder != "copy" {
			t.Logf("this ffmpeg lacks %s: its own options are not checked", encoder)
			if encoder == "libx264" {
				t.Error("a test needs ffmpeg with libx264")
			}
		}
		p, err := pipe.ParsePreset("v4l2:/dev/video0?alsa=default&encoder=" + encoder)
		if err != nil {
			t.Fatal(err)
		}
		checkOptions(t, encoder, p.CommandLine(pipe.Host{Formats: []string{"MJPG"}})[1:], known)
	}
}

// checkOptions fails the test unless each option is in one of the lists. The first list that has it gives the allowed
// values.
func checkOptions(t *testing.T, encoder string, line []string, known []map[string][]string) {
	t.Helper()
	for i, arg := range line {
		name, isOption := strings.CutPrefix(arg, "-")
		name, _, _ = strings.Cut(name, ":") // -b:v is -b, of video
		if !isOption || name == "" || name == "i" {
			continue
		}
		list := slices.IndexFunc(known, func(m map[string][]string) bool {
			_, is := m[name]
			_, isNot := m[strings.TrimPrefix(name, "no")]
			return is || isNot
		})
		if list < 0 {
			t.Errorf("%s: ffmpeg does not know %s", encoder, arg)
			continue
		}
		if words := known[list][name]; len(words) > 0 && !number.MatchString(line[i+1]) &&
			!slices.Contains(words, line[i+1]) {
			t.Errorf("%s: %s %s; ffmpeg knows %v", encoder, arg, line[i+1], words)
		}
	}
}

var number = regexp.MustCompile(`^-?[0-9.]+k?$`)
