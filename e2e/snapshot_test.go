package e2e

import (
	"bytes"
	"fmt"
	"image"
	"image/jpeg"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kvsagent/kvsagent/e2e/rig"
)

// snapshot asks the agent for a picture, and wants an answer of a status and a type.
func snapshot(t *testing.T, a *rig.Agent, source, format string, code int, kind string) []byte {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet,
		a.StatusURL+"/api/v1/sources/"+source+"/snapshot."+format, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if got := resp.Header.Get("Content-Type"); resp.StatusCode != code || got != kind {
		t.Fatalf("snapshot.%s of %s: %s, %s, want %d, %s\n%.300s", format, source, resp.Status, got, code, kind, body)
	}
	return body
}

// picture is one that a decoder which is not ours has opened.
func picture(t *testing.T, b []byte) image.Image {
	t.Helper()
	img, err := jpeg.Decode(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func colour(img image.Image, x, y float64) [3]int {
	size := img.Bounds().Size()
	r, g, b, _ := img.At(int(x*float64(size.X)), int(y*float64(size.Y))).RGBA()
	return [3]int{int(r >> 8), int(g >> 8), int(b >> 8)}
}

// inBars fails the test unless a picture is the camera's.
func inBars(t *testing.T, img image.Image) {
	t.Helper()
	got := make([][3]int, len(rig.Bars))
	for i := range got {
		got[i] = colour(img, (float64(i)+0.5)/float64(len(rig.Bars)), 0.3)
	}
	if size := img.Bounds().Size(); !rig.ShowBars(got) || size != image.Pt(rig.CameraWidth, rig.CameraHeight) {
		t.Errorf("%v of %v, want the bars", got, size)
	}
}

// inTheDark fails the test unless a picture is a slate.
func inTheDark(t *testing.T, img image.Image) {
	t.Helper()
	for _, at := range [][2]float64{{0.05, 0.1}, {0.5, 0.1}, {0.95, 0.1}, {0.05, 0.9}, {0.95, 0.9}} {
		if c := colour(img, at[0], at[1]); max(c[0], c[1], c[2]) > 60 {
			t.Errorf("%v at %v, want a dark slate", c, at)
		}
	}
}

// TestSnapshots: a picture of a camera that nobody watches, as JPEG and as it is; it is one connection to the camera
// for all of them. A camera that is closed shows nothing from the moment on at which the switch is flipped.
func TestSnapshots(t *testing.T) {
	service := rig.StartService(t)
	cam := rig.StartCamera(t, "127.0.0.1:0", "", "", rig.OpusAudio)
	private := filepath.Join(t.TempDir(), "private")
	vp8 := rig.Encoded(t, ".ivf", "-f", "lavfi", "-i", "smptebars=size=640x360:rate=25", "-t", "2",
		"-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8", "-g", "25")
	a := rig.StartAgent(t, rig.Environment(rig.Keys...), service.URL(), "", fmt.Sprintf(`
sources:
  gate: {url: %q, privacy_file: %q, linger: 60s}
  clip: {url: "exec:ffmpeg -nostdin -v error -re -stream_loop -1 -i %s -c copy -f ivf -flush_packets 1 -"}
  dead: {url: "rtsp://127.0.0.1:1/live"}
channels: {still: {source: gate, create: true}}
`, cam.URL(), private, vp8))
	a.Connected(t, "still")

	inBars(t, picture(t, snapshot(t, a, "gate", "jpg", 200, "image/jpeg")))
	raw := snapshot(t, a, "gate", "h264", 200, "video/h264")
	inBars(t, decoded(t, "h264", raw))
	snapshot(t, a, "gate", "h265", 406, "application/json")
	snapshot(t, a, "gate", "ivf", 406, "application/json")
	reports := timed(func() {
		if _, err := a.Report(); err != nil {
			t.Error(err)
		}
	})
	pictures := timed(func() { snapshot(t, a, "gate", "h264", 200, "video/h264") })
	if pictures > max(time.Second, 20*reports) {
		t.Errorf("ten pictures of a camera that runs took %v, ten reports %v; want no wait for a key frame", pictures,
			reports)
	}
	if n := len(a.Stderr.Lines("source running", "source=gate")); n != 1 {
		t.Errorf("the camera was started %d times, want once", n)
	}

	inBars(t, picture(t, snapshot(t, a, "clip", "jpg", 200, "image/jpeg")))
	inBars(t, decoded(t, "ivf", snapshot(t, a, "clip", "ivf", 200, "application/octet-stream")))
	snapshot(t, a, "nowhere", "jpg", 404, "application/json")

	if err := os.WriteFile(private, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	inTheDark(t, picture(t, snapshot(t, a, "gate", "jpg", 200, "image/jpeg")))
	inTheDark(t, decoded(t, "h264", snapshot(t, a, "gate", "h264", 200, "video/h264")))

	// Longer than the server's other requests may take.
	if why := string(snapshot(t, a, "dead", "jpg", 504, "application/json")); !strings.Contains(why,
		"has never given a picture") || !strings.Contains(why, "refused") {
		t.Errorf("a camera that is not there: %s", why)
	}
}

// TestSnapshotWithoutFFmpeg: there is no JPEG, and it says so; the picture as it is needs no ffmpeg.
func TestSnapshotWithoutFFmpeg(t *testing.T) {
	t.Parallel()
	service := rig.StartService(t)
	env := append([]string{"PATH=" + t.TempDir()}, rig.Keys...)
	for _, kv := range rig.Environment() {
		if !strings.HasPrefix(kv, "PATH=") {
			env = append(env, kv)
		}
	}
	a := rig.StartAgent(t, env, service.URL(), "", `
sources: {test: {url: "testpattern:"}}
channels: {bare: {source: test, create: true}}
`)
	a.Connected(t, "bare")
	if why := string(snapshot(t, a, "test", "jpg", 501, "application/json")); !strings.Contains(why,
		"apt-get install ffmpeg; snapshot.h264 needs none") {
		t.Errorf("%s", why)
	}
	if size := decoded(t, "h264", snapshot(t, a, "test", "h264", 200,
		"video/h264")).Bounds().Size(); size != image.Pt(1280, 720) {
		t.Errorf("the picture has %v", size)
	}
}

// timed is how long it takes to do something ten times.
func timed(do func()) time.Duration {
	began := time.Now()
	for range 10 {
		do()
	}
	return time.Since(began)
}

// decoded is what ffmpeg, called by the test, makes of a raw picture.
func decoded(t *testing.T, format string, raw []byte) image.Image {
	t.Helper()
	file := rig.WriteFile(t, "raw", string(raw))
	out, errs, code := rig.Run(t, 20*time.Second, rig.Environment(), "ffmpeg", "-nostdin", "-v", "error", "-f", format,
		"-i", file, "-f", "image2pipe", "-c:v", "mjpeg", "-q:v", "2", "-")
	if code != 0 || errs != "" {
		t.Fatalf("ffmpeg: exit %d: %s", code, errs)
	}
	return picture(t, []byte(out))
}
