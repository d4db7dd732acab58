package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/kvsagent/kvsagent/bench/load"
)

// workshop is where the benchmark keeps what it makes: the programs and the clip. Git ignores it.
type workshop struct{ root, dir string }

// newWorkshop finds the module that the working directory is in.
func newWorkshop(ctx context.Context) (workshop, error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	mod := strings.TrimSpace(string(out))
	if err != nil || !filepath.IsAbs(mod) {
		return workshop{}, fmt.Errorf("find the module: %q %w; hint: run it inside the repository", mod, err)
	}
	root := filepath.Dir(mod)
	w := workshop{root: root, dir: filepath.Join(root, "dist", "bench")}
	return w, os.MkdirAll(w.dir, 0o755)
}

// build compiles a command of this module and returns its path.
func (w workshop) build(ctx context.Context, pkg string) (string, error) {
	to := filepath.Join(w.dir, filepath.Base(pkg))
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", to, "./"+pkg)
	cmd.Dir = w.root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", pkg, err, out)
	}
	return to, nil
}

// commit names what is measured.
func (w workshop) commit(ctx context.Context) string {
	cmd := exec.CommandContext(ctx, "git", "describe", "--always", "--dirty", "--abbrev=10")
	cmd.Dir = w.root
	out, err := cmd.Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}

// look is a clip: a noisy test picture, 20 s long, 30 frames a second, H.264 constrained baseline with one slice a
// picture and a key frame each 2 s.
type look struct {
	name, size, rate, buffer string
	tone                     bool // and Opus, 64 kbit/s in packets of 20 ms
}

var (
	mainLook = look{"1080p30-4M-gop2s.mp4", "1920x1080", "4M", "2M", true}
	subLook  = look{"360p30-450k-gop2s.mp4", "640x360", "450k", "225k", false}
)

// clip makes a film once.
func (w workshop) clip(ctx context.Context, l look) (string, error) {
	to := filepath.Join(w.dir, l.name)
	if _, err := os.Stat(to); err == nil {
		return to, nil
	}
	args := []string{"-v", "error", "-y", "-f", "lavfi", "-i", "testsrc2=s=" + l.size + ":r=30,noise=alls=12:allf=t"}
	if l.tone {
		args = append(args, "-f", "lavfi", "-i", "sine=f=440:r=48000", "-c:a", "libopus", "-b:a", "64k", "-ac", "2",
			"-frame_duration", "20")
	}
	tmp := to + ".part"
	args = append(args, "-t", "20",
		"-c:v", "libx264", "-preset", "ultrafast", "-profile:v", "baseline", "-pix_fmt", "yuv420p",
		"-b:v", l.rate, "-minrate", l.rate, "-maxrate", l.rate, "-bufsize", l.buffer, "-g", "60", "-keyint_min", "60",
		"-sc_threshold", "0",
		"-x264-params", "slices=1:threads=1", "-movflags", "+faststart", "-f", "mp4", tmp)
	if out, err := exec.CommandContext(ctx, "ffmpeg", args...).CombinedOutput(); err != nil {
		return "", errors.Join(fmt.Errorf("make the clip: %w\n%s; hint: ffmpeg with libx264 and libopus must be "+
			"installed", err, out), os.Remove(tmp))
	}
	return to, os.Rename(tmp, to)
}

// book lists the pictures of clips.
func (w workshop) book(ctx context.Context, clips ...string) (*load.Book, error) {
	var streams [][]byte
	for _, clip := range clips {
		var complaints bytes.Buffer
		cmd := exec.CommandContext(ctx, "ffmpeg", "-v", "error", "-i", clip, "-map", "0:v", "-c", "copy", "-bsf:v",
			"h264_mp4toannexb", "-f", "h264", "-")
		cmd.Stderr = &complaints
		stream, err := cmd.Output()
		if err != nil {
			return nil, fmt.Errorf("read the clip %s: %w\n%s", clip, err, complaints.String())
		}
		streams = append(streams, stream)
	}
	return load.NewBook(streams...), nil
}
