package pipe_test

import (
	"bytes"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/kvsagent/kvsagent/media/internal/demux"
	"github.com/kvsagent/kvsagent/media/pipe"
)

func TestSplit(t *testing.T) {
	for line, want := range map[string][]string{
		"":                                     nil,
		"  ffmpeg  -i x\t-  ":                  {"ffmpeg", "-i", "x", "-"},
		`a 'b c' "d e" f\ g`:                   {"a", "b c", "d e", "f g"},
		`a '' ""`:                              {"a", "", ""},
		`a'b'"c"d`:                             {"abcd"},
		`'a"b' "a'b" "a\"b\\c\d"`:              {`a"b`, `a'b`, `a"b\c\d`},
		`rtsp://h/x?a=1&b=2 a;b $HOME * ~ a|b`: {"rtsp://h/x?a=1&b=2", "a;b", "$HOME", "*", "~", "a|b"},
		`sh -c 'a | b > c'`:                    {"sh", "-c", "a | b > c"},
		`a "|" \> '&&'`:                        {"a", "|", ">", "&&"},
		`ä "ö ü"`:                              {"ä", "ö ü"},
	} {
		if have, err := pipe.Split(line); err != nil || !slices.Equal(have, want) {
			t.Errorf("%s: %q, %v, want %q", line, have, err, want)
		}
	}
	for line, want := range map[string]string{
		`a 'b`:               "unclosed quote '",
		`a "b\"`:             `unclosed quote "`,
		`a \`:                "a backslash at the end",
		`a | b`:              "there is no shell, so | does nothing; hint: quote it, or write sh -c '...'",
		`a >/dev/null`:       "so >/dev/null does",
		`a 2>/dev/null`:      "so 2>/dev/null does",
		`ffmpeg -i x - && b`: "so && does",
		`a &`:                "so & does",
	} {
		if _, err := pipe.Split(line); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", line, err, want)
		}
	}
}

func FuzzSplit(f *testing.F) {
	f.Add(`ffmpeg -i 'a b' "c\"d" e\ f -`)
	f.Fuzz(func(t *testing.T, line string) {
		words, err := pipe.Split(line)
		if err != nil {
			return
		}
		var quoted []string
		for _, w := range words {
			quoted = append(quoted, "'"+strings.ReplaceAll(w, "'", `'\''`)+"'")
		}
		if again, err := pipe.Split(strings.Join(quoted, " ")); err != nil || !slices.Equal(again, words) {
			t.Errorf("%q becomes %q, %v", words, again, err)
		}
	})
}

func TestPresets(t *testing.T) {
	usb := pipe.Host{Formats: []string{"YUYV", "MJPG"}, Encoders: []string{"libx264"}}
	for name, tt := range map[string]struct {
		url  string
		host pipe.Host
		want string
	}{
		"the camera's own H.264": {
			"v4l2:/dev/video0?alsa=hw:1,0", pipe.Host{Formats: []string{"MJPG", "H264"}},
			"ffmpeg -hide_banner -nostats -loglevel warning -fflags nobuffer -thread_queue_size 64 -f v4l2 " +
				"-input_format h264 -video_size 1280x720 -framerate 30" +
				" -i /dev/video0 -thread_queue_size 512 -f alsa -i hw:1,0 -map 0:v -map 1:a -c:v copy -c:a libopus " +
				"-application lowdelay -frame_duration 20" +
				" -ac 2 -ar 48000 -b:a 64k -flush_packets 1 -muxdelay 0 -muxpreload 0 -pes_payload_size 0 " +
				"-omit_video_pes_length 0 -f mpegts -",
		},
		"x264": {
			"v4l2:/dev/v4l/by-id/cam?size=640x480&rate=15&bitrate=800k", usb,
			"-input_format mjpeg -video_size 640x480 -framerate 15 -i /dev/v4l/by-id/cam -pix_fmt yuv420p -c:v " +
				"libx264 -preset veryfast -tune zerolatency" +
				" -profile:v baseline -maxrate 800000 -bufsize 400000 -bf 0 -g 30 -b:v 800000 -flush_packets 1",
		},
		"raw pictures": {"v4l2:/dev/video0", pipe.Host{Formats: []string{"YUYV"}}, "-f v4l2 -video_size 1280x720"},
		"Raspberry Pi 4": {"v4l2:/dev/video0",
			pipe.Host{Formats: []string{"MJPG"}, Encoders: []string{"h264_v4l2m2m", "libx264"}},
			"-pix_fmt yuv420p -c:v h264_v4l2m2m -bf 0 -g 60 -b:v 1935000"},
		"VA-API": {"v4l2:/dev/video0", pipe.Host{Encoders: []string{"h264_vaapi"}},
			"-vaapi_device /dev/dri/renderD128 -fflags nobuffer"},
		"VA-API upload": {"v4l2:/dev/video0", pipe.Host{Encoders: []string{"h264_vaapi"}},
			"-vf format=nv12,hwupload -c:v h264_vaapi -profile:v constrained_baseline -bf 0"},
		"chosen encoder": {"v4l2:/dev/video0?encoder=h264_nvenc", pipe.Host{Formats: []string{"H264"}},
			"-c:v h264_nvenc -preset p3 -tune ull"},
		"libcamera": {"libcamera:", pipe.Host{},
			"rpicam-vid --timeout 0 --nopreview --width 1280 --height 720 --framerate 30 --bitrate 1935000 --intra " +
				"60 --profile baseline --codec h264 --inline --flush --output -"},
		"libcamera named": {"libcamera:1?size=1920x1080", pipe.Host{Program: "libcamera-vid"},
			"libcamera-vid --timeout 0 --nopreview --width 1920 --height 1080 --framerate 30 --bitrate 4354000 " +
				"--intra 60 --profile baseline --camera 1"},
		"libcamera sound": {"libcamera:?alsa=default", pipe.Host{},
			"--codec libav --libav-format mpegts --low-latency --libav-audio --audio-source alsa --audio-device " +
				"default --audio-codec libopus --output -"},
	} {
		p, err := pipe.ParsePreset(tt.url)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if have := strings.Join(p.CommandLine(tt.host), " "); !strings.Contains(have, tt.want) {
			t.Errorf("%s:\nhave %s\nwant %s", name, have, tt.want)
		}
	}
	for url, want := range map[string]string{
		"v4l2:":                           "no device",
		"v4l2:video0":                     "no device",
		"v4l2:/dev/video0?size=1280":      "hint: size=1280x720",
		"v4l2:/dev/video0?size=1280x7x2":  "hint: size=1280x720",
		"v4l2:/dev/video0?size=9999x9999": "even numbers",
		"v4l2:/dev/video0?rate=x":         "rate=30",
		"v4l2:/dev/video0?rate=500":       "1 to 120",
		"v4l2:/dev/video0?bitrate=fast":   "bitrate=2M",
		"v4l2:/dev/video0?bitrate=1G":     "bitrate=2M",
		"v4l2:/dev/video0?fps=3":          `unknown option "fps"`,
		"v4l2:/dev/video0?rate=3&rate=4":  "rate is given 2 times",
		"v4l2:/dev/video0?alsa=-y":        "begins with -",
		"screen:":                         "no preset",
	} {
		if _, err := pipe.ParsePreset(url); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", url, err, want)
		}
	}
}

// ffmpeg knows the encoder and muxer options of a preset, and demux can read the output: only the device is replaced.
func TestPresetRuns(t *testing.T) {
	p, err := pipe.ParsePreset("v4l2:/dev/video0?size=320x240&rate=10&alsa=default")
	if err != nil {
		t.Fatal(err)
	}
	args := p.CommandLine(pipe.Host{Formats: []string{"YUYV"}})
	replace := map[string][]string{
		"v4l2": {"lavfi"}, "/dev/video0": {"testsrc2=size=320x240:rate=10"}, "alsa": {"lavfi"}, "default": {"sine"},
		"-video_size": nil, "320x240": nil, "-framerate": nil, "10": nil,
		"-flush_packets": {"-t", "1", "-flush_packets"},
	}
	var line []string
	for _, a := range args {
		if with, ok := replace[a]; ok {
			line = append(line, with...)
		} else {
			line = append(line, a)
		}
	}
	var problems bytes.Buffer
	cmd := exec.Command(line[0], line[1:]...)
	cmd.Stderr = &problems
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v (a test needs it: apt-get install ffmpeg): %v\n%s", line, err, problems.String())
	}
	s, err := demux.Open(bytes.NewReader(out))
	if err != nil || len(s.Tracks()) != 2 {
		t.Fatalf("%v", err)
	}
	n := 0
	for {
		u, err := s.Next()
		if err != nil {
			break
		}
		if u.Codec.Video() {
			n++
		}
	}
	if n < 9 || n > 10 { // of two inputs that begin at different times ffmpeg may leave out the first picture
		t.Errorf("%d pictures, want 9 or 10", n)
	}
}

func TestParse(t *testing.T) {
	for url, want := range map[string]string{
		"exec:":                  "without a command",
		"exec:   ":               "without a command",
		"exec:a | b":             "there is no shell",
		"http://192.0.2.1/":      "is not a command",
		"v4l2:/dev/video0?size=": "size=1280x720",
	} {
		if _, err := pipe.Parse(url); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", url, err, want)
		}
	}
	if _, err := pipe.Parse("libcamera:", "-x"); err == nil {
		t.Error("args for a preset")
	}
	o, err := pipe.Parse("exec:/usr/bin/ffmpeg -i", "a b", "|")
	if err != nil {
		t.Fatal(err)
	}
	line, err := o.Command(t.Context())
	if want := []string{"/usr/bin/ffmpeg", "-i", "a b", "|"}; err != nil || !slices.Equal(line, want) ||
		o.Name != "ffmpeg" {
		t.Errorf("%q %q %v", o.Name, line, err)
	}
	o, err = pipe.Parse("v4l2:/dev/no-such-camera")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := o.Command(t.Context()); err == nil || !strings.Contains(err.Error(), "is the camera plugged in?") {
		t.Errorf("%v", err)
	}
	o, _ = pipe.Parse("v4l2:/dev/null")
	if _, err := o.Command(t.Context()); err == nil || !strings.Contains(err.Error(), "not a camera") {
		t.Errorf("%v", err)
	}
}
