package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
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

// clip makes the film once: 20 s of a noisy test picture, 1920x1080, 30 frames a second, H.264 constrained baseline at 4 Mbit/s with one slice a
// picture and a key frame each 2 s, and a tone as Opus in packets of 20 ms.
func (w workshop) clip(ctx context.Context) (string, error) {
	to := filepath.Join(w.dir, "1080p30-4M-gop2s.mp4")
	if _, err := os.Stat(to); err == nil {
		return to, nil
	}
	tmp := to + ".part"
	cmd := exec.CommandContext(ctx, "ffmpeg", "-v", "error", "-y",
		"-f", "lavfi", "-i", "testsrc2=s=1920x1080:r=30,noise=alls=12:allf=t", "-f", "lavfi", "-i", "sine=f=440:r=48000", "-t", "20",
		"-c:v", "libx264", "-preset", "ultrafast", "-profile:v", "baseline", "-pix_fmt", "yuv420p",
		"-b:v", "4M", "-minrate", "4M", "-maxrate", "4M", "-bufsize", "2M", "-g", "60", "-keyint_min", "60", "-sc_threshold", "0",
		"-x264-params", "slices=1:threads=1", "-c:a", "libopus", "-b:a", "64k", "-ac", "2", "-frame_duration", "20",
		"-movflags", "+faststart", "-f", "mp4", tmp)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", errors.Join(fmt.Errorf("make the clip: %w\n%s; hint: ffmpeg with libx264 and libopus must be installed", err, out), os.Remove(tmp))
	}
	return to, os.Rename(tmp, to)
}
