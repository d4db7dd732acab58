package e2e

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/kvsagent/kvsagent/e2e/rig"
	"golang.org/x/sys/unix"
)

// starved is a master with some viewers, whose process lacks something.
type starved struct {
	*rig.Agent
	t        *testing.T
	audience audience
	viewers  int
}

// starve starts a master under a program, with an environment, and viewers who have a picture.
func starve(t *testing.T, viewers int, source string, under []string, env ...string) *starved {
	t.Helper()
	url := rig.StartService(t).URL()
	s := &starved{t: t, viewers: viewers, Agent: rig.StartAgentUnder(t, under,
		rig.Environment(append(slices.Clone(rig.Keys), env...)...), url, "",
		"sources: {pattern: {"+source+"}}\nchannels: {starved0: {source: pattern, create: true}, "+
			"starved1: {source: pattern, create: true}}\n")}
	s.Connected(t, "starved0")
	s.Connected(t, "starved1")
	s.audience = watching(t, url, viewers, func(n int) string { return fmt.Sprint("starved", n/10) })
	rig.Eventually(t, 90*time.Second, "all viewers have a picture", func() (bool, any) {
		f := s.audience.frames()
		return len(f) == viewers, f
	})
	return s
}

// goOn waits until each of the sessions that were there has so many pictures more: none of them has ended.
func (s *starved) goOn(limit time.Duration, more uint64) {
	s.t.Helper()
	before := s.audience.frames()
	if len(before) != s.viewers {
		s.t.Fatalf("%d sessions, want %d", len(before), s.viewers)
	}
	rig.Eventually(s.t, limit, fmt.Sprintf("%d more pictures for each viewer", more), func() (bool, any) {
		now := s.audience.frames()
		for session, n := range before {
			if now[session] < n+more {
				return false, now
			}
		}
		return true, now
	})
}

// group makes a cgroup of a controller with a setting, and gives what moves the master into it.
func group(t *testing.T, controller string, settings ...string) (dir string, move func(pid int)) {
	t.Helper()
	dir, err := os.MkdirTemp(filepath.Join("/sys/fs/cgroup", controller), "kvsagent-e2e-")
	if err != nil {
		t.Skipf("no cgroup of the controller %s (version 1) can be made: %v", controller, err)
	}
	t.Cleanup(func() { removeCgroup(dir) })
	write := func(name, value string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(value), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, s := range settings {
		name, value, _ := strings.Cut(s, "=")
		write(name, value)
	}
	return dir, func(pid int) { t.Helper(); write("cgroup.procs", strconv.Itoa(pid)) }
}

// worked is the processor time of a process so far.
func worked(t *testing.T, pid int) time.Duration {
	t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	f := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	var ticks int64
	for _, field := range f[11:13] { // utime and stime
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * time.Second / 100
}

// TestLittleProcessor gives the master a twentieth of one processor. Pictures are late or left out, no session ends, no
// loop is called stuck, and with the processor the pictures are back.
func TestLittleProcessor(t *testing.T) {
	t.Parallel()
	s := starve(t, 2, `url: "testpattern:?size=320x240&rate=15&gop=1s"`, nil)
	dir, move := group(t, "cpu", "cpu.cfs_period_us=100000", "cpu.cfs_quota_us=5000")
	move(s.Cmd.Process.Pid)
	s.goOn(60*time.Second, 5)
	time.Sleep(20 * time.Second) // twice the time after which a loop is stuck
	if r, err := s.Report(); err != nil || len(r.Stuck) > 0 {
		t.Errorf("the report has %+v, %v; want no loop that is stuck", r.Stuck, err)
	}
	if stat, err := os.ReadFile(filepath.Join(dir, "cpu.stat")); err != nil ||
		strings.Contains(string(stat), "nr_throttled 0\n") {
		t.Errorf("the processor was not short: %s, %v", stat, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "cpu.cfs_quota_us"), []byte("-1"), 0o644); err != nil {
		t.Fatal(err)
	}
	s.goOn(20*time.Second, 30)
}

// TestTwentyViewersFit: what the unit gives in memory is enough for its 20 viewers, with nobody killed.
func TestTwentyViewersFit(t *testing.T) {
	t.Parallel()
	const most, high = 288 << 20, 230 << 20 // of systemd/kvsagent.service
	dir, _ := group(t, "memory", "memory.limit_in_bytes="+strconv.Itoa(most))
	under := []string{"sh", "-c", "echo $$ >" + dir + "/cgroup.procs; exec \"$@\"", "sh"}
	s := starve(t, 20, `url: "testpattern:?size=640x360&rate=15&gop=1s"`, under, "GOMEMLIMIT=187MiB")
	s.goOn(60*time.Second, 75)
	peak, err := os.ReadFile(filepath.Join(dir, "memory.max_usage_in_bytes"))
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(peak)))
	if err != nil {
		t.Fatal(err)
	}
	if n == 0 || n > high {
		t.Errorf("20 viewers took %d MiB at most, want up to %d MiB", n>>20, high>>20)
	}
	t.Logf("20 viewers took %d MiB at most", n>>20)
}

// TestNoDescriptors: the master can open nothing more. Who is connected stays, nobody spins, and when there are
// descriptors again it takes connections again.
func TestNoDescriptors(t *testing.T) {
	t.Parallel()
	s := starve(t, 2, `url: "testpattern:?size=320x240&rate=15&gop=1s"`, nil)
	pid := s.Cmd.Process.Pid
	const window = 4 * time.Second
	used := func() time.Duration {
		before := worked(t, pid)
		time.Sleep(window)
		return worked(t, pid) - before
	}
	control := used()
	var before unix.Rlimit
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, nil, &before); err != nil {
		t.Fatal(err)
	}
	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		t.Fatal(err)
	}
	none := unix.Rlimit{Cur: uint64(len(open)), Max: before.Max}
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, &none, nil); err != nil {
		t.Fatal(err)
	}
	address := strings.TrimPrefix(s.StatusURL, "http://")
	for range 50 { // which the kernel takes, and the master cannot
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	client := &http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	if r, err := client.Get(s.StatusURL + "/healthz"); err == nil {
		_ = r.Body.Close()
		t.Error("the fault is not there: a connection was taken")
	}
	if n := used(); n > 2*control+window/10 {
		t.Errorf("it took %v of the processor in %v, and %v before", n, window, control)
	}
	s.goOn(20*time.Second, 30)
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, &before, nil); err != nil {
		t.Fatal(err)
	}
	rig.Eventually(t, 20*time.Second, "it takes connections again", func() (bool, any) {
		r, err := client.Get(s.StatusURL + "/healthz")
		if err == nil {
			_ = r.Body.Close()
		}
		return err == nil, err
	})
}

// TestDiskFull: the state directory and that of the privacy switch are on a disk that takes nothing. The master runs
// without, says so once, and the switch says why it cannot be set.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root can mount")
	}
	for name, options := range map[string]string{"full": "size=4k,nr_inodes=2", "read-only": "ro"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			s := starve(t, 1, fmt.Sprintf(`url: "testpattern:?size=320x240&rate=15&gop=1s", privacy_file: %q`,
				dir+"/gate.privacy"),
				[]string{"unshare", "--mount", "sh", "-c", "mount -t tmpfs -o " + options + " none " + dir +
					"; touch " + dir + "/fill 2>/dev/null; exec \"$@\"", "sh"}, "STATE_DIRECTORY="+dir)
			s.goOn(20*time.Second, 30)
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPut,
				s.StatusURL+"/api/v1/sources/pattern/privacy", strings.NewReader(`{"on": true}`))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Origin", s.StatusURL)
			req.Header.Set("Content-Type", "application/json")
			r, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Body.Close()
			said, _ := io.ReadAll(r.Body)
			if r.StatusCode < 500 || !strings.Contains(string(said), map[string]string{"full": "no space left",
				"read-only": "read-only file system"}[name]) {
				t.Errorf("the switch says %s: %s", r.Status, said)
			}
			s.goOn(20*time.Second, 30)
			if log := s.Stderr.String(); strings.Count(log, "safe mode") != 1 || strings.Contains(log, "level=ERROR") {
				t.Errorf("the log says\n%s\nwant once that there is no safe mode", log)
			}
		})
	}
}

// TestTimeNamespace: the clocks that count from the boot are others than the host's, as in a container that was moved.
func TestTimeNamespace(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/proc/self/ns/time"); err != nil || os.Geteuid() != 0 {
		t.Skip("no time namespace can be made")
	}
	s := starve(t, 1, `url: "testpattern:?size=320x240&rate=15&gop=1s"`, []string{"unshare", "--time", "--fork",
		"--kill-child", "--monotonic", "1000000", "--boottime", "1000000"})
	s.goOn(20*time.Second, 60)
}
