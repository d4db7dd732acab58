package agent_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/kvsagent/kvsagent/status"
)

// A picture that was begun while the source was open, and finished after it was closed, must not be the camera's. The
// camera is a command that closes its own source when it is started, so the request comes too late.
func TestSnapshotOfWhatIsClosedMeanwhile(t *testing.T) {
	dir := t.TempDir()
	private, clip, camera := filepath.Join(dir, "private"), filepath.Join(dir, "clip.h264"), filepath.Join(dir,
		"camera")
	frame := []byte("\x00\x00\x00\x01\x67\x42\xc0\x1f\xd9\x00\xa0\x5b\x96\xa0\x20\x20\x28\x00\x00\x03" +
		"\x00\x08\x00\x00\x03\x01\x94\x20" +
		"\x00\x00\x00\x01\x68\xce\x3c\x80\x00\x00\x00\x01\x65\x88\x84camera\x00\x00\x00\x01\x41\x9a\x02camera")
	script := fmt.Sprintf("#!/bin/sh\n>%s\ncat %s\nexec sleep 100\n", private, clip)
	if err := errors.Join(os.WriteFile(clip, bytes.Repeat(frame, 2), 0o600),
		os.WriteFile(camera, []byte(script), 0o700)); err != nil {
		t.Fatal(err)
	}
	s := service(t)
	a, _ := start(t,
		parse(t, s,
			fmt.Sprintf("  door: {url: \"exec:%s\", privacy_file: %q}\nchannels:\n  door: {source: door, create: "+
				"true}\n", camera, private)))
	got, err := a.Snapshot(t.Context(), "door", "h264")
	if err != nil || len(got.Body) < 1000 || bytes.Contains(got.Body, []byte("camera")) {
		t.Errorf("%d bytes, %v, want the slate", len(got.Body), err)
	}
}

// While a VP8 source is closed, its picture is the slate in VP8: clients that ask for the source's codec need not know
// about privacy.
func TestSnapshotOfWhatIsClosedIsInItsCodec(t *testing.T) {
	private := filepath.Join(t.TempDir(), "private")
	clip, err := filepath.Abs("../media/slate/stills/camera-1280x720.vp8")
	if err != nil {
		t.Fatal(err)
	}
	s := service(t)
	a, _ := start(t,
		parse(t, s,
			fmt.Sprintf("  door: {url: \"exec:sh -c 'cat %s; exec sleep 100'\", privacy_file: %q}\nchannels:\n  "+
				"door: {source: door, create: true}\n", clip, private)))
	camera, err := a.Snapshot(t.Context(), "door", "ivf")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(private, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	closed, err := a.Snapshot(t.Context(), "door", "ivf")
	if err != nil || len(closed.Body) < 500 || bytes.Equal(closed.Body, camera.Body) {
		t.Errorf("%d bytes, %v, want the slate", len(closed.Body), err)
	}
}

func TestSnapshotOfNothing(t *testing.T) {
	s := service(t)
	a, _ := start(t, parse(t, s, gate))
	for _, tt := range []struct {
		source, format string
		want           int
	}{{"nowhere", "jpg", 404}, {"pattern", "h265", 406}, {"pattern", "ivf", 406}} {
		_, err := a.Snapshot(t.Context(), tt.source, tt.format)
		if p, ok := errors.AsType[*status.Problem](err); !ok || p.Status != tt.want {
			t.Errorf("%s.%s: %v, want %d", tt.source, tt.format, err, tt.want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := a.Snapshot(ctx, "pattern", "jpg"); err == nil {
		t.Error("a client that is gone got a picture")
	}
}
