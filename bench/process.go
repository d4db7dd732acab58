package bench

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// process is a program that is measured.
type process struct {
	cmd   *exec.Cmd
	lines chan string // of its standard output; the first ones are kept, the rest is dropped
	ended chan struct{}

	mu     sync.Mutex // guards stderr
	stderr bytes.Buffer
}

// usage is what a process has used so far.
type usage struct {
	user, system time.Duration
	resident     int64         // bytes
	own          int64         // of them: no file's
	waited       time.Duration // of its threads, ready to run, for the core: what others take
}

// start runs a program on one core; -1 is any. It dies with us.
func start(core int, name string, args ...string) (*process, error) {
	p := &process{cmd: exec.Command(name, args...), lines: make(chan string, 16), ended: make(chan struct{})}
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	p.cmd.Stderr = p
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := startOn(core, p.cmd); err != nil {
		return nil, fmt.Errorf("start %s: %w", filepath.Base(name), err)
	}
	go func() {
		defer close(p.ended)
		p.readLines(stdout)
		_ = p.cmd.Wait() // the state is read from ProcessState
	}()
	return p, nil
}

// startOn starts a command on one core: a child inherits the mask of the thread that makes it.
func startOn(core int, cmd *exec.Cmd) error {
	if core < 0 {
		return cmd.Start()
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var before, only unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return err
	}
	only.Set(core)
	if err := unix.SchedSetaffinity(0, &only); err != nil {
		return err
	}
	return errors.Join(cmd.Start(), unix.SchedSetaffinity(0, &before))
}

func (p *process) readLines(r io.Reader) {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		select {
		case p.lines <- lines.Text():
		default:
		}
	}
	_, _ = io.Copy(io.Discard, r) // a line too long for the scanner
}

// maxStderr bounds what is kept of a process's complaints.
const maxStderr = 16 << 10

// Write keeps standard error.
func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stderr.Write(b[:min(len(b), max(0, maxStderr-p.stderr.Len()))])
	return len(b), nil
}

// complaints is what a process has written to standard error.
func (p *process) complaints() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.TrimSpace(p.stderr.String())
}

// firstLine waits for the first line of standard output.
func (p *process) firstLine(ctx context.Context) (string, error) {
	select {
	case line := <-p.lines:
		return line, nil
	case <-p.ended:
		return "", fmt.Errorf("%s ended: %v\n%s", filepath.Base(p.cmd.Path), p.cmd.ProcessState, p.complaints())
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// stop ends the process, gently first, and waits for it.
func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	t := time.NewTimer(10 * time.Second)
	defer t.Stop()
	select {
	case <-p.ended:
	case <-t.C:
		_ = p.cmd.Process.Kill()
		<-p.ended
	}
}

// used reads what the process has used (proc(5)).
func (p *process) used() (usage, error) {
	dir := "/proc/" + strconv.Itoa(p.cmd.Process.Pid)
	stat, err := os.ReadFile(dir + "/stat")
	if err != nil {
		return usage{}, err
	}
	_, rest, _ := strings.Cut(string(stat), ") ") // the name before may have spaces
	fields := strings.Fields(rest)
	if len(fields) < 22 {
		return usage{}, fmt.Errorf("%s/stat: %d fields", dir, len(fields))
	}
	number := func(field int) int64 { // as proc(5) counts
		n, parseErr := strconv.ParseInt(fields[field-3], 10, 64)
		err = errors.Join(err, parseErr)
		return n
	}
	const tick = 10 * time.Millisecond // USER_HZ is 100 on every Linux that Go runs on
	u := usage{user: time.Duration(number(14)) * tick, system: time.Duration(number(15)) * tick,
		resident: number(24) * int64(os.Getpagesize())}
	u.waited = waited(dir)
	statm, readErr := os.ReadFile(dir + "/statm")
	if pages := strings.Fields(string(statm)); len(pages) > 2 {
		shared, parseErr := strconv.ParseInt(pages[2], 10, 64)
		u.own, readErr = u.resident-shared*int64(os.Getpagesize()), parseErr
	}
	return u, errors.Join(err, readErr)
}

// waited sums up over the threads of a process (the kernel's Documentation/scheduler/sched-stats.rst). A thread that
// ends takes its part along.
func waited(dir string) (sum time.Duration) {
	tasks, err := os.ReadDir(dir + "/task")
	if err != nil {
		return 0
	}
	for _, t := range tasks {
		text, err := os.ReadFile(dir + "/task/" + t.Name() + "/schedstat")
		if err != nil {
			continue
		}
		if fields := strings.Fields(string(text)); len(fields) == 3 {
			n, _ := strconv.ParseInt(fields[1], 10, 64) // 0 when it is no number
			sum += time.Duration(n)
		}
	}
	return sum
}

// cores picks the core of the clients and the core of the server; -1 and -1 where there is only one.
func cores() (clients, server int) {
	var set unix.CPUSet
	if unix.SchedGetaffinity(0, &set) != nil || set.Count() < 2 {
		return -1, -1
	}
	clients = -1
	for core := range len(set) * 64 {
		if !set.IsSet(core) {
			continue
		}
		if clients < 0 {
			clients = core
		}
		server = core
	}
	return clients, server
}

// pinSelf keeps this process on one core, with every thread that it has; those to come inherit it.
func pinSelf(core int) error {
	var only unix.CPUSet
	only.Set(core)
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return err
	}
	for _, t := range tasks {
		id, err := strconv.Atoi(t.Name())
		if err != nil {
			continue
		}
		if err := unix.SchedSetaffinity(id, &only); err != nil && !errors.Is(err, unix.ESRCH) {
			return err
		}
	}
	runtime.GOMAXPROCS(1)
	return nil
}

// ownCPU is what this process has used.
func ownCPU() time.Duration {
	var r unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &r) != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
