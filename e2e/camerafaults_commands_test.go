package e2e

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kvsagent/kvsagent/e2e/rig"
	"github.com/kvsagent/kvsagent/media/pipe"
)

// commandCamera watches what a shell script writes, as a camera of this host is watched.
func commandCamera(t *testing.T, script string) *rig.Audience {
	t.Helper()
	a := &rig.Audience{}
	src, err := pipe.New(pipe.Options{Command: pipe.Line("sh", "-c", script), Name: "camera", Stall: 3 * time.Second,
		Log: slog.New(slog.NewTextHandler(&a.Log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	a.Run(t, src)
	return a
}

// replugged: by its name under /dev/v4l/by-id a camera is found on whatever port it comes back.
func replugged(t *testing.T, good rig.Clip) {
	device, file := filepath.Join(t.TempDir(), "by-id"), good.Stream(t)
	if err := os.Symlink(file, device); err != nil {
		t.Fatal(err)
	}
	a := commandCamera(t, "while cat "+device+"; do :; done")
	a.Sees(t, 30, 10*time.Second)
	if err := os.Remove(device); err != nil {
		t.Fatal(err)
	}
	a.Fails(t, 10*time.Second, "No such file or directory")
	if err := os.Symlink(good.Stream(t), device); err != nil {
		t.Fatal(err)
	}
	a.Sees(t, 30, 10*time.Second)
	a.Steady(t)
}

// lateDriver: the classes of devices that systemd is told of are there from boot on. What happens when they are not is
// in TestLateDriver of package pipe and TestRestartForALateDriver of package agent.
func lateDriver(t *testing.T, _ rig.Clip) {
	text, err := os.ReadFile("../systemd/kvsagent.modules")
	if err != nil {
		t.Fatal(err)
	}
	for _, module := range []string{"\nvideodev\n", "\nsnd\n"} {
		if !strings.Contains(string(text), module) {
			t.Errorf("kvsagent.modules has no %q", module)
		}
	}
}

// busy: a device that is busy is opened again, with the hint; one that hangs is noticed after three seconds.
func busy(t *testing.T, good rig.Clip) {
	count := filepath.Join(t.TempDir(), "count")
	a := commandCamera(t, `echo >>`+count+`
case $(wc -l <`+count+`) in
1|2) echo "/dev/video0: Device or resource busy" >&2; exit 1;;
*) cat `+good.Stream(t)+`; exec sleep 1000;;
esac`)
	a.Fails(t, 5*time.Second, "another program uses the device; fuser -v /dev/video* names it")
	a.Sees(t, 30, 10*time.Second)
	a.Fails(t, 10*time.Second, "no picture for 3s; hint: the device hangs")
	a.Sees(t, 30, 10*time.Second)
	a.Steady(t)
}

// child is what happens to an encoder: the picture is back within some time.
func child(s syscall.Signal, within time.Duration) func(*testing.T, rig.Clip) {
	return func(t *testing.T, good rig.Clip) {
		pid := filepath.Join(t.TempDir(), "pid")
		a := commandCamera(t, "echo $$ >"+pid+"; while cat "+good.Stream(t)+"; do :; done")
		a.Sees(t, 30, 10*time.Second)
		text, err := os.ReadFile(pid)
		if err != nil {
			t.Fatal(err)
		}
		n, err := strconv.Atoi(strings.TrimSpace(string(text)))
		if err != nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(-n, s); err != nil { // with what it has started
			t.Fatal(err)
		}
		a.Fails(t, within, "")
		a.Sees(t, 30, 10*time.Second)
		a.Steady(t)
		if err := syscall.Kill(n, 0); !errors.Is(err, syscall.ESRCH) {
			t.Errorf("the old child: %v", err)
		}
	}
}

// flood: the log has a few lines of it, and the picture goes on.
func flood(t *testing.T, good rig.Clip) {
	a := commandCamera(t, "(yes camera is unhappy >&2) & while cat "+good.Stream(t)+"; do :; done")
	a.Sees(t, 75, 15*time.Second)
	if n := len(a.Log.Lines("camera is unhappy")); n == 0 || n > 20 {
		t.Errorf("%d lines of the log are the command's", n)
	}
	a.Steady(t)
}
