package rtpin_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/kvsagent/kvsagent/media"
	"github.com/kvsagent/kvsagent/media/mediatest"
	"github.com/kvsagent/kvsagent/media/rtpin"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// port returns a free one, with a free one after it, which ffmpeg sends RTCP to.
func port(t *testing.T) int {
	t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer pc.Close()
	return pc.LocalAddr().(*net.UDPAddr).Port &^ 1
}

// send lets ffmpeg send until the test ends, and returns the SDP file that it writes.
func send(t *testing.T, video, audio string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "stream.sdp")
	line := "-v error -re -f lavfi -i testsrc2=s=320x240:r=25 -re -f lavfi -i sine=r=48000 -strict experimental"
	for in, args := range []string{video, audio} {
		if args != "" {
			line += fmt.Sprintf(" -map %d -pix_fmt yuv420p -g 25 %s -f rtp rtp://127.0.0.1:%d", in, args, port(t))
		}
	}
	var problems bytes.Buffer
	cmd := exec.Command("ffmpeg", append(strings.Fields(line), "-sdp_file", file)...)
	cmd.Stderr = &problems
	if err := cmd.Start(); err != nil {
		t.Fatalf("ffmpeg (a test needs it: apt-get install ffmpeg): %v", err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Log(problems.String())
		}
	})
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if text, _ := os.ReadFile(file); bytes.Count(text, []byte("\nm=")) == strings.Count(line, "-f rtp") &&
			bytes.HasSuffix(text, []byte("\n")) {
			return file
		}
	}
	t.Fatal("ffmpeg wrote no SDP file")
	return ""
}

func source(t *testing.T, o rtpin.Options) media.Source {
	t.Helper()
	o.Log = slog.New(slog.DiscardHandler)
	s, err := rtpin.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSource(t *testing.T) {
	for name, args := range map[string][2]string{
		"h264 opus": {"-c:v libx264 -preset ultrafast -tune zerolatency", "-c:a libopus"},
		"h265 pcmu": {"-c:v libx265 -preset ultrafast -" +
			"tune zerolatency -x265-params log-level=none:bframes=0:keyint=25",
			"-ar 8000 -c:a pcm_mulaw"},
		"vp8":  {"-c:v libvpx -deadline realtime -cpu-used 8", ""},
		"vp9":  {"-c:v libvpx-vp9 -deadline realtime -cpu-used 8", ""},
		"opus": {"", "-c:a libopus"},
	} {
		t.Run(name, func(t *testing.T) {
			file := send(t, args[0], args[1])
			mediatest.Source(t, func(t *testing.T) media.Source { return source(t, rtpin.Options{Path: file}) })
		})
	}
}

// Foreign audio passes for a transcoder.
func TestForeign(t *testing.T) {
	for _, args := range []string{"-c:a aac", "-c:a pcm_s16be", "-c:a mp2"} {
		t.Run(args[5:], func(t *testing.T) {
			file := send(t, "-c:v libx264 -preset ultrafast -tune zerolatency", args)
			mediatest.Source(t,
				func(t *testing.T) media.Source { return source(t, rtpin.Options{Path: file, Foreign: true}) })
		})
	}
}

func TestErrors(t *testing.T) {
	for url, want := range map[string]string{
		"rtp:":                  "names an SDP file",
		"rtp://192.0.2.1:5000":  "names an SDP file",
		"rtp:a.sdp?from=x":      "not an IP address",
		"rtp:a.sdp?port=5":      `"port"`,
		"rtp:a.sdp?from=x;from": "invalid semicolon",
	} {
		if _, err := rtpin.Parse(url); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", url, err, want)
		}
	}
	head := "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\n"
	for text, want := range map[string]string{
		"hello":                            "not an SDP file",
		head:                               "nothing to play",
		head + "m=video 5000 RTP/AVP 26\n": "the file has: JPEG",
		head + "m=video 0 RTP/AVP 96\na=rtpmap:96 H264/90000\n":     "video on port 0",
		head + "m=video 5000 RTP/SAVP 96\na=rtpmap:96 H264/90000\n": "video encrypted (SRTP)",
		head + "m=audio 5000 RTP/AVP 14\n":                          "the file has: MPEG audio",
		head + strings.Repeat("m=audio 5000 RTP/AVP 14\n", 9):       "9 tracks",
		strings.Repeat("a", 70<<10):                                 "too many",
	} {
		file := filepath.Join(t.TempDir(), "x.sdp")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		err := source(t, rtpin.Options{Path: file}).Run(t.Context(), nil)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.100s: %v, want %s", text, err, want)
		}
	}
	if err := source(t, rtpin.Options{Path: "/no/such.sdp"}).Run(t.Context(), nil); err == nil ||
		!strings.Contains(err.Error(), "no such file") {
		t.Errorf("%v", err)
	}
}
