package netnstest

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// variable names the test that runs in a namespace.
const variable = "KVSAGENT_TEST_NAMESPACE"

// grace is how much longer than the test's own limit its process may take.
const grace = 10 * time.Second

// Inside reports whether the test runs in a network namespace of its own, with nothing in it but loopback, which is up.
// If it does not, Inside has the whole test run again in a new one, within limit and with env added to its environment,
// takes over how that went, and reports false: then the test has nothing left to do.
func Inside(t *testing.T, limit time.Duration, env ...string) bool {
	t.Helper()
	if os.Getenv(variable) == t.Name() {
		IP(t, "link set lo up")
		return true
	}
	if _, err := exec.LookPath("ip"); err != nil {
		t.Fatalf("%v; hint: apt-get install iproute2", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit+grace)
	defer cancel()
	pattern := "^" + strings.ReplaceAll(regexp.QuoteMeta(t.Name()), "/", "$/^") + "$"
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.run", pattern, "-test.v", "-test.timeout", limit.String())
	cmd.Env = append(append(os.Environ(), variable+"="+t.Name()), env...)
	cmd.SysProcAttr = attributes()
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = grace
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatalf("no network namespace: %v; hint: run as root, or allow user namespaces (sysctl "+
			"kernel.unprivileged_userns_clone)", err)
	}
	if err != nil || !strings.Contains(out.String(), "--- PASS: "+t.Name()+" ") {
		t.Fatalf("in a namespace: %v\n%s", err, out.String())
	}
	for _, line := range told.FindAllStringSubmatch(out.String(), -1) {
		t.Log(line[1])
	}
	return false
}

// told is a line of the test's own log.
var told = regexp.MustCompile(`(?m)^ +\w+_test\.go:\d+: (.*)$`)

// attributes put a process into a network namespace of its own; a user who is not root gets a user namespace with it,
// where he is.
func attributes() *syscall.SysProcAttr {
	a := &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL, Cloneflags: syscall.CLONE_NEWNET}
	if os.Geteuid() != 0 {
		a.Cloneflags |= syscall.CLONE_NEWUSER
		a.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		a.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	return a
}

// IP runs ip(8) with these words, where the test runs.
func IP(t testing.TB, words string) {
	t.Helper()
	if out, err := exec.Command("ip", strings.Fields(words)...).CombinedOutput(); err != nil {
		t.Fatalf("ip %s: %v: %s", words, err, out)
	}
}
