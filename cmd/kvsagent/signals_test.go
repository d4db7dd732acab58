package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// TestSecondSignal: the first SIGTERM ends the process as it should, which takes the time that a command may take to
// end; the second ends it at once, the first process of a container, too.
func TestSecondSignal(t *testing.T) {
	if path := os.Getenv("KVSAGENT_TEST_SIGNALS"); path != "" {
		os.Args = []string{"kvsagent", "run", "-c", path}
		main() // does not return
	}
	for _, tt := range []struct {
		name       string
		twice      bool
		attributes *syscall.SysProcAttr
		want       syscall.WaitStatus
	}{
		{"once", false, nil, 0},
		{"twice", true, nil, syscall.WaitStatus(syscall.SIGTERM)},
		{"twice, as the first process", true, ownProcesses(), syscall.WaitStatus((128 + syscall.SIGTERM) << 8)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			path, up := filepath.Join(dir, "kvsagent.yaml"), filepath.Join(dir, "up")
			text := fmt.Sprintf(`
aws: {region: eu-central-1, endpoint: "http://127.0.0.1:1", credentials: {access_key_id: a, secret_access_key: bbbb}}
sources: {gate: {url: "exec:sh", args: [-c, "trap '' TERM; echo > %s; while kill -0 $PPID; do sleep 1; done"], keep_warm: true}}
channels: {gate: {source: gate}}
status: {listen: off}
`, up)
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			exe, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			log := &logbook{}
			cmd := exec.Command(exe, "-test.run=^TestSecondSignal$")
			cmd.Env = append(os.Environ(), "KVSAGENT_TEST_SIGNALS="+path)
			cmd.Stdout, cmd.Stderr = log, log
			cmd.SysProcAttr = tt.attributes
			cmd.WaitDelay = time.Second // the command has our pipe
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			defer func() { _ = cmd.Process.Kill() }()
			for until := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
				if _, err := os.Stat(up); err == nil {
					break
				}
				if time.Now().After(until) {
					t.Fatalf("its command does not run\n%s", log)
				}
			}
			ended := make(chan struct{})
			go func() { _ = cmd.Wait(); close(ended) }()
			signaled, over := time.Now(), time.After(20*time.Second)
			again := time.NewTicker(20 * time.Millisecond) // two at once would be one
			defer again.Stop()
			_ = cmd.Process.Signal(syscall.SIGTERM)
			for gone := false; !gone; {
				select {
				case <-ended:
					gone = true
				case <-again.C:
					if tt.twice {
						_ = cmd.Process.Signal(syscall.SIGTERM)
					}
				case <-over:
					t.Fatalf("it does not end\n%s", log)
				}
			}
			took := time.Since(signaled)
			if got := cmd.ProcessState.Sys().(syscall.WaitStatus); got != tt.want {
				t.Errorf("it ended with status %#x after %v, want %#x\n%s", got, took, tt.want, log)
			}
			if slow := took > 1900*time.Millisecond; slow == tt.twice {
				t.Errorf("it took %v", took)
			}
		})
	}
}
