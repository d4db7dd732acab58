package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kvsagent/kvsagent/e2e/rig"
)

// container is a systemd that runs as PID 1 in namespaces of its own, started by systemd/boot.
type container struct {
	t   *testing.T
	pid int // of its PID 1, as seen from outside
}

// boot starts systemd with the unit of this repository, a binary in /usr/bin and the config in /etc/kvsagent.
func boot(t *testing.T, binary, config string) *container {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can make the namespaces")
	}
	dir := t.TempDir()
	for _, d := range []string{"root", "bin", "etc/kvsagent", "etc/systemd/system", "etc/sysusers.d"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	copyFile(t, binary, filepath.Join(dir, "bin/kvsagent"), 0o755)
	copyFile(t, "../systemd/kvsagent.service", filepath.Join(dir, "etc/systemd/system/kvsagent.service"), 0o644)
	copyFile(t, "../systemd/kvsagent.sysusers", filepath.Join(dir, "etc/sysusers.d/kvsagent.conf"), 0o644)
	if err := os.WriteFile(filepath.Join(dir, "etc/kvsagent/kvsagent.yaml"), []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	script, err := filepath.Abs("systemd/boot")
	if err != nil {
		t.Fatal(err)
	}
	p := startIn(t, cgroup(t), "/usr/bin/unshare", "--mount", "--pid", "--fork", "--uts", "--ipc", "--net", "--cgroup",
		"--kill-child",
		script, filepath.Join(dir, "root"), filepath.Join(dir, "bin"), filepath.Join(dir, "etc"))
	c := &container{t: t, pid: onlyChild(t, p)}
	t.Cleanup(func() { _ = syscall.Kill(c.pid, syscall.SIGKILL) }) // to SIGTERM it would re-execute itself
	rig.Eventually(t, 20*time.Second, "systemd has booted", func() (bool, any) {
		if p.Over() {
			t.Fatalf("boot: %v", p.Cmd.ProcessState)
		}
		out, errs, _ := c.run("systemctl", "is-active", "basic.target")
		return strings.TrimSpace(out) == "active", out + errs
	})
	if out, errs, code := c.run("systemd-sysusers"); code != 0 {
		t.Fatalf("systemd-sysusers: exit %d\n%s%s", code, out, errs)
	}
	t.Cleanup(func() {
		if t.Failed() {
			state, _, _ := c.run("systemctl", "status", "--no-pager", "kvsagent")
			journal, _, _ := c.run("journalctl", "--no-pager", "-o", "cat")
			t.Logf("%s\n--- journal\n%s", state, rig.Tail(journal))
		}
	})
	return c
}

// cgroup makes one for systemd to rule, where the host has hierarchies of version 1, and returns its directory.
func cgroup(t *testing.T) string {
	t.Helper()
	top := "/sys/fs/cgroup/systemd"
	if _, err := os.Stat("/sys/fs/cgroup/cgroup.controllers"); err == nil {
		top = "/sys/fs/cgroup"
	}
	dir, err := os.MkdirTemp(top, "kvsagent-e2e-")
	if err != nil {
		t.Skipf("no cgroup can be made: %v", err)
	}
	t.Cleanup(func() { removeCgroup(dir) })
	return dir
}

// removeCgroup removes the directories from the innermost out; their files go with them.
func removeCgroup(dir string) {
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if e.IsDir() {
			removeCgroup(filepath.Join(dir, e.Name()))
		}
	}
	for deadline := time.Now().Add(5 * time.Second); os.Remove(dir) != nil && time.Now().Before(deadline); {
		time.Sleep(50 * time.Millisecond) // until the kernel has seen its last process end
	}
}

// startIn starts a program inside a cgroup.
func startIn(t *testing.T, cgroup string, args ...string) *rig.Process {
	t.Helper()
	line := append([]string{"-c", `echo $$ >"$0/cgroup.procs"; exec "$@"`, cgroup}, args...)
	return rig.Start(t, rig.Environment(), "/bin/sh", line...)
}

// onlyChild waits for the one process that p has forked.
func onlyChild(t *testing.T, p *rig.Process) (pid int) {
	t.Helper()
	list := fmt.Sprintf("/proc/%d/task/%[1]d/children", p.Cmd.Process.Pid)
	rig.Eventually(t, 5*time.Second, "unshare has forked", func() (bool, any) {
		text, err := os.ReadFile(list)
		pid, _ = strconv.Atoi(strings.TrimSpace(string(text)))
		return pid > 0, err
	})
	return pid
}

// run executes a program inside.
func (c *container) run(args ...string) (stdout, stderr string, code int) {
	c.t.Helper()
	return rig.Run(c.t, 40*time.Second, rig.Environment(), "/usr/bin/nsenter",
		append([]string{"--target", strconv.Itoa(c.pid), "--all", "--root", "--wd", "--"}, args...)...)
}

// systemctl must succeed.
func (c *container) systemctl(args ...string) {
	c.t.Helper()
	if out, errs, code := c.run(append([]string{"systemctl"}, args...)...); code != 0 {
		c.t.Fatalf("systemctl %s: exit %d\n%s%s", strings.Join(args, " "), code, out, errs)
	}
}

// show returns a property of the unit.
func (c *container) show(property string) string {
	c.t.Helper()
	out, _, _ := c.run("systemctl", "show", "--value", "-p", property, "kvsagent")
	return strings.TrimSpace(out)
}

// shows waits until a property of the unit has the value.
func (c *container) shows(limit time.Duration, property, want string) {
	c.t.Helper()
	rig.Eventually(c.t, limit, property+" is "+want, func() (bool, any) {
		got := c.show(property)
		return got == want, got
	})
}

// get asks the agent's status port for a path, with nothing but bash: the container has a network of its own.
func (c *container) get(path string) string {
	c.t.Helper()
	out, _, _ := c.run("bash", "-c",
		`exec 3<>/dev/tcp/127.0.0.1/9780 && printf 'GET %s HTTP/1.0\r\nHost: localhost\r\n\r\n' "$0" >&3 && cat <&3`, path)
	return out
}

// put asks the agent's status port to change something.
func (c *container) put(path, body string) string {
	c.t.Helper()
	out, _, _ := c.run("bash", "-c", `exec 3<>/dev/tcp/127.0.0.1/9780 && printf 'PUT %s HTTP/1.0\r\nHost: localhost\r\n'`+
		`'Origin: http://localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s' "$0" ${#1} "$1" `+
		`>&3 && cat <&3`, path, body)
	return out
}

// write replaces the config.
func (c *container) write(config string) {
	c.t.Helper()
	if _, errs, code := c.run("bash", "-c", `printf %s "$0" >/etc/kvsagent/kvsagent.yaml`, config); code != 0 {
		c.t.Fatalf("write the config: %s", errs)
	}
}

func copyFile(t *testing.T, from, to string, mode os.FileMode) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, data, mode); err != nil {
		t.Fatal(err)
	}
}

// TestService is the daemon's life under systemd, on a host that cannot reach KVS: that is no reason not to be ready.
func TestService(t *testing.T) {
	t.Parallel()
	config := func(channels string) string {
		return `
aws: {region: eu-central-1, endpoint: "http://127.0.0.1:9", credentials: {access_key_id: localkvs, secret_access_key: localkvs}}
sources: {test: {url: "testpattern:", privacy_file: /run/kvsagent/test.privacy}}
channels: {` + channels + `}
`
	}
	c := boot(t, rig.Binary, config("first: {source: test}"))

	began := time.Now()
	c.systemctl("start", "kvsagent") // returns at READY=1
	start := time.Since(began)
	c.shows(time.Second, "SubState", "running")
	if got := c.get("/healthz"); !strings.Contains(got, "200 OK") {
		t.Errorf("/healthz = %q", got)
	}
	if got := c.get("/api/v1/report"); !strings.Contains(got, `"first"`) {
		t.Errorf("/api/v1/report = %q, want channel first", got)
	}
	rig.Eventually(t, 20*time.Second, "systemctl status tells about the channel", func() (bool, any) {
		got := c.show("StatusText")
		return got != "", got
	})
	pid := c.show("MainPID")

	t.Run("reload", func(t *testing.T) {
		c.write(config("first: {source: test}, second: {source: test}"))
		c.systemctl("reload", "kvsagent")
		rig.Eventually(t, 10*time.Second, "channel second is there", func() (bool, any) {
			got := c.get("/api/v1/report")
			return strings.Contains(got, `"second"`), got
		})
		c.write("channels: [this is no config")
		if out, errs, code := c.run("systemctl", "reload", "kvsagent"); code == 0 {
			t.Errorf("systemctl reload of a bad config succeeds: %s%s", out, errs)
		}
		if got := c.show("StatusText"); !strings.Contains(got, "config ") || strings.Contains(got, "failed") {
			t.Errorf("systemctl status says %q; want the hash of the config, and nothing of one that never came", got)
		}
		rig.Eventually(t, 10*time.Second, "the log tells of the bad config", func() (bool, any) {
			out, _, _ := c.run("journalctl", "--no-pager", "-u", "kvsagent")
			return strings.Contains(out, "kvsagent.yaml:"), out
		})
		if got := c.show("MainPID"); got != pid || !strings.Contains(c.get("/api/v1/report"), `"second"`) {
			t.Errorf("after reloads MainPID = %s, was %s; want the old config and the same process", got, pid)
		}
	})
	t.Run("kvsagent reload", func(t *testing.T) {
		reload := func() (string, int) {
			out, errs, code := c.run("/usr/bin/kvsagent", "reload", "-c", "/etc/kvsagent/kvsagent.yaml")
			return out + errs, code
		}
		c.write(config("first: {source: test}, third: {source: test}"))
		if said, code := reload(); code != 0 || !strings.Contains(said, "runs now") {
			t.Errorf("a good config: exit %d, %s", code, said)
		}
		if got := c.get("/api/v1/report"); !strings.Contains(got, `"third"`) { // there at once: it has waited for that
			t.Errorf("the report has %s", got)
		}
		c.write("channels: [this is no config")
		if said, code := reload(); code != 78 || !strings.Contains(said, "kvsagent.yaml:") {
			t.Errorf("a bad config: exit %d, want 78: %s", code, said)
		}
		c.write(config("first: {source: test}") + "aws: {}\n")
		if said, code := reload(); code != 78 {
			t.Errorf("a key that is there twice: exit %d, want 78: %s", code, said)
		}
		if got := c.show("MainPID"); got != pid || !strings.Contains(c.get("/api/v1/report"), `"third"`) {
			t.Errorf("MainPID = %s, was %s; want the old config and the same process", got, pid)
		}
	})
	t.Run("privacy", func(t *testing.T) {
		private := func() bool { return strings.Contains(c.get("/api/v1/report"), `"privacy": `) }
		exists := func() bool { _, _, code := c.run("test", "-e", "/run/kvsagent/test.privacy"); return code == 0 }
		if private() || exists() {
			t.Fatal("the switch is on already")
		}
		if got := c.put("/api/v1/sources/test/privacy", `{"on": true}`); !strings.Contains(got, " 204 ") {
			t.Fatalf("the switch cannot be set: %s", got)
		}
		rig.Eventually(t, 10*time.Second, "the source is private", func() (bool, any) {
			return private() && exists(), c.get("/api/v1/report")
		})
		c.write(config("first: {source: test}"))
		c.systemctl("restart", "kvsagent")
		rig.Eventually(t, 10*time.Second, "the source is private after a restart", func() (bool, any) {
			return private() && exists(), c.get("/api/v1/report")
		})
		if got := c.put("/api/v1/sources/test/privacy", `{"on": false}`); !strings.Contains(got, " 204 ") {
			t.Fatalf("the switch cannot be taken back: %s", got)
		}
		rig.Eventually(t, 10*time.Second, "the source is private no more", func() (bool, any) {
			return !private() && !exists(), c.get("/api/v1/report")
		})
	})
	t.Run("crash", func(t *testing.T) {
		c.write(config("first: {source: test}"))
		c.systemctl("kill", "--kill-whom=main", "-s", strconv.Itoa(int(syscall.SIGKILL)), "kvsagent")
		c.shows(20*time.Second, "NRestarts", "1")
		c.shows(20*time.Second, "SubState", "running")
	})
	t.Run("no threads", func(t *testing.T) {
		limit := func(threads string) {
			t.Helper()
			if _, errs, code := c.run("bash", "-c", `mkdir -p "${0%/*}" && printf '[Service]\nLimitNPROC=%s\n' "$1" >"$0"`,
				"/etc/systemd/system/kvsagent.service.d/threads.conf", threads); code != 0 {
				t.Fatal(errs)
			}
			c.systemctl("daemon-reload")
		}
		limit("3") // Go ends the process when it can make no thread
		c.systemctl("reset-failed", "kvsagent")
		_, _, _ = c.run("systemctl", "restart", "kvsagent")
		rig.Eventually(t, 30*time.Second, "it is started again and again", func() (bool, any) {
			got := c.show("NRestarts")
			n, _ := strconv.Atoi(got)
			return n >= 2, got
		})
		limit("infinity")
		c.shows(20*time.Second, "SubState", "running")
		out, _, _ := c.run("journalctl", "--no-pager", "-u", "kvsagent")
		if !strings.Contains(out, "failed to create new OS thread") {
			t.Error("the fault was not there: the journal has nothing of threads")
		}
	})
	t.Run("stop", func(t *testing.T) {
		began := time.Now()
		c.systemctl("stop", "kvsagent")
		if took := time.Since(began); took > max(5*time.Second, 3*start) {
			t.Errorf("stop took %v, start %v", took, start)
		}
		if got := c.show("Result"); got != "success" {
			t.Errorf("Result = %s, want success", got)
		}
	})
	t.Run("bad config", func(t *testing.T) {
		c.write("channels: [this is no config")
		if _, _, code := c.run("systemctl", "start", "kvsagent"); code == 0 {
			t.Error("it started")
		}
		if got := c.show("ExecMainStatus"); got != "78" {
			t.Errorf("ExecMainStatus = %s, want 78", got)
		}
		c.shows(time.Second, "SubState", "failed") // and stays so: a restart would not mend it
	})
}

// TestServiceStuck has an offer block the loop of its channel for good (a build for tests has the fault). systemctl
// status names the loop, the watchdog ends the process with the stacks in its log, and the next one works.
func TestServiceStuck(t *testing.T) {
	t.Parallel()
	c := boot(t, faultyBinary(t), `
aws: {region: eu-central-1, endpoint: "http://127.0.0.1:9790", credentials: {access_key_id: localkvs, secret_access_key: localkvs}}
sources: {test: {url: "testpattern:?size=320x240&rate=5"}}
channels: {stuck: {source: test, create: true}, first: {source: test, create: true}}
`)
	c.systemctl("start", "kvsagent") // its user is made first
	start := func(unit string, args ...string) {
		t.Helper()
		if out, errs, code := c.run(append([]string{"systemd-run", "--unit=" + unit,
			"--setenv=AWS_ACCESS_KEY_ID=localkvs", "--setenv=AWS_SECRET_ACCESS_KEY=localkvs", "/usr/bin/kvsagent"},
			args...)...); code != 0 {
			t.Fatalf("systemd-run %s: exit %d\n%s%s", unit, code, out, errs)
		}
	}
	start("service", "localkvs", "--listen", "127.0.0.1:9790")
	connected := func() (bool, any) {
		got := c.get("/readyz")
		return strings.Contains(got, " 200 OK"), got
	}
	rig.Eventually(t, 60*time.Second, "the channels are connected", connected)
	pid := c.show("MainPID")
	start("viewer", "view", "stuck", "--endpoint", "http://127.0.0.1:9790", "--region", "eu-central-1", "--duration",
		"100s")
	rig.Eventually(t, 40*time.Second, "systemctl status names the loop", func() (bool, any) {
		got := c.show("StatusText")
		return strings.Contains(got, "channel stuck"), got
	})
	if got := c.show("MainPID"); got != pid {
		t.Fatalf("it is another process already: %s, was %s", got, pid)
	}
	c.systemctl("stop", "viewer") // else it would offer again
	c.shows(60*time.Second, "NRestarts", "1")
	c.shows(30*time.Second, "SubState", "running")
	rig.Eventually(t, 60*time.Second, "the channels are connected again", connected)
	out, _, _ := c.run("journalctl", "--no-pager", "-u", "kvsagent")
	for _, want := range []string{"Watchdog timeout", "SIGABRT", "onOffer"} { // the last in a stack
		if !strings.Contains(out, want) {
			t.Errorf("the journal has no %q", want)
		}
	}
}
