package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// ownProcesses put a process into a PID namespace of its own; a user who is not root gets a user namespace with it,
// where he is.
func ownProcesses() *syscall.SysProcAttr {
	a := &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	if os.Geteuid() != 0 {
		a.Cloneflags |= syscall.CLONE_NEWUSER
		a.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		a.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	return a
}

// TestFirstProcess runs the agent as the first process of a PID namespace, as a container does, with commands that
// leave processes behind. None stays a zombie, and the exit status of the commands themselves comes where it is waited
// for.
func TestFirstProcess(t *testing.T) {
	if path := os.Getenv("KVSAGENT_TEST_FIRST"); path != "" {
		if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil { // the host's stays
			t.Fatal(err)
		}
		if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
			t.Fatal(err)
		}
		os.Args = []string{"kvsagent", "run", "-c", path}
		main() // does not return
	}
	dir := t.TempDir()
	path, made := filepath.Join(dir, "kvsagent.yaml"), filepath.Join(dir, "made")
	// Of what each run leaves, some end by themselves, some in the command's group and some outside when it is killed.
	script := `for i in 1 2 3 4 5; do (sleep 0.1 &); (setsid sleep 0.1 &); (sleep 1000 &); (setsid sleep 1000 &); ` +
		`(env -i setsid sleep 0.3 &); done; echo x >> ` + made + `; sleep 0.2; exit 3`
	text := fmt.Sprintf(`
aws: {region: eu-central-1, endpoint: "http://127.0.0.1:1", credentials: {access_key_id: a, secret_access_key: bbbb}}
sources: {gate: {url: "exec:sh", args: [-c, %q], keep_warm: true}}
channels: {gate: {source: gate}}
status: {listen: off}
`, script)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	log := &logbook{}
	cmd := exec.Command(exe, "-test.run=^TestFirstProcess$")
	cmd.Env = append(os.Environ(), "KVSAGENT_TEST_FIRST="+path)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = ownProcesses()
	if err := cmd.Start(); err != nil {
		t.Fatalf("no PID namespace: %v; hint: run as root, or allow user namespaces", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	defer func() { _ = cmd.Process.Kill() }()
	most := 0
	for until := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		runs, _ := os.ReadFile(made)
		now := len(zombies(cmd.Process.Pid))
		most = max(most, now)
		if strings.Count(string(runs), "x") >= 3 && most > 0 && now == 0 {
			break
		}
		select {
		case err := <-ended:
			t.Fatalf("it has ended: %v\n%s", err, log)
		default:
		}
		if time.Now().After(until) {
			t.Fatalf("%d zombies, %d at most, after %d runs\n%s", now, most, len(runs)/2, log)
		}
	}
	if err := cmd.Process.Signal(unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("it ends with %v", err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("it does not end")
	}
	if got := log.String(); !strings.Contains(got, "exit status 3") || strings.Contains(got, "no child processes") {
		t.Errorf("the log does not have the exit status of the command:\n%s", got)
	}
}

// TestReapOnce: who is waited for is let alone, and who is not is reaped after some looks.
func TestReapOnce(t *testing.T) {
	cmd := exec.Command("true")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for until := time.Now().Add(20 * time.Second); len(zombies(os.Getpid())) == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(until) {
			t.Fatal("no zombie")
		}
	}
	seen := map[int]int{}
	for range reapLooks - 1 {
		seen = reapOnce(seen, os.Getpid())
	}
	if seen[cmd.Process.Pid] != reapLooks-1 {
		t.Fatalf("looked at: %v", seen)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("who waits gets %v", err)
	}
	if seen = reapOnce(seen, os.Getpid()); len(seen) != 0 {
		t.Errorf("who is gone is remembered: %v", seen)
	}
}
