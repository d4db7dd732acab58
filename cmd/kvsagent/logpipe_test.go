package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestLogPipe: a process whose standard error is a closed pipe, or a full one that nobody reads, ends when it has to,
// with its own exit status.
func TestLogPipe(t *testing.T) {
	if path := os.Getenv("KVSAGENT_TEST_LOGPIPE"); path != "" {
		os.Args = []string{"kvsagent", "run", "-c", path}
		main() // does not return
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	path := filepath.Join(t.TempDir(), "kvsagent.yaml")
	text := fmt.Sprintf(`
aws: {region: eu-central-1}
sources: {pattern: {url: "testpattern:"}}
channels: {gate: {source: pattern}}
status: {listen: %q}
`, taken.Addr())
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, full := range []bool{false, true} {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		if full {
			fill(t, w)
		} else {
			r.Close()
		}
		exe, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		p, err := os.StartProcess(exe, []string{exe, "-test.run=^TestLogPipe$"}, &os.ProcAttr{
			Env: append(os.Environ(), "KVSAGENT_TEST_LOGPIPE="+path), Files: []*os.File{nil, nil, w},
		})
		if err != nil {
			t.Fatal(err)
		}
		hung := time.AfterFunc(time.Minute, func() { _ = p.Kill() })
		state, err := p.Wait()
		hung.Stop()
		if err != nil || state.ExitCode() != exitError {
			t.Errorf("full: %v: %v, %v; want exit status %d", full, state, err, exitError)
		}
		w.Close()
		r.Close()
	}
}

// fill writes to a pipe until it takes no more.
func fill(t *testing.T, w *os.File) {
	t.Helper()
	fd := int(w.Fd()) // blocks from now on
	if err := unix.SetNonblock(fd, true); err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{4096, 1} {
		for b := make([]byte, size); ; {
			if _, err := unix.Write(fd, b); err != nil {
				break
			}
		}
	}
	if err := unix.SetNonblock(fd, false); err != nil {
		t.Fatal(err)
	}
}
