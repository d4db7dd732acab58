package pipe

import (
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// grace is how long a command may take to end when it is asked to.
const grace = 2 * time.Second

// process is a running command with all processes that it starts. After end it is gone.
type process struct {
	cmd    *exec.Cmd
	mark   string // in the environment of everything that the command has started
	stdout *os.File
	stderr *tail
	gone   chan struct{} // closed when the command has ended and its group was killed
	err    error         // of the command; valid when gone is closed
	ended  sync.Once
	ask    chan struct{} // closed when the command should end
}

// start runs a command line in a process group of its own. It inherits stdin, stdout and stderr, and the reading end of
// a control pipe as descriptor 3, unless that is nil. Go opens all other descriptors close-on-exec; those that we
// inherited ourselves are made so here.
func start(args []string, stdin, control *os.File, env map[string]string, log *slog.Logger) (*process, error) {
	if len(args) == 0 {
		return nil, errors.New("no command")
	}
	cmd := exec.Command(args[0], args[1:]...)
	if cmd.Err != nil {
		return nil, fmt.Errorf("%w; hint: install it, or write its path", cmd.Err)
	}
	// Linux 5.11; before that, our parent must take care of it.
	_ = unix.CloseRange(3, ^uint(0), unix.CLOSE_RANGE_CLOEXEC)
	outR, outW, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	errR, errW, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, outR.Close(), outW.Close())
	}
	if stdin != nil {
		cmd.Stdin = stdin
	}
	cmd.Stdout, cmd.Stderr = outW, errW
	mark := runMark + "=" + rand.Text()
	cmd.Env = append(environment(os.Environ()), mark)
	for name, value := range env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	if control != nil {
		cmd.ExtraFiles, cmd.Env = []*os.File{control}, append(cmd.Env, "KVSAGENT_CONTROL_FD=3")
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	err = cmd.Start()
	_, _ = outW.Close(), errW.Close()
	if err != nil {
		return nil, errors.Join(err, outR.Close(), errR.Close())
	}
	p := &process{cmd: cmd, mark: mark, stdout: outR, stderr: &tail{r: errR, log: log}, gone: make(chan struct{}),
		ask: make(chan struct{})}
	go p.watch()
	return p, nil
}

// runMark is the variable by which processes are found that have left the command's group.
const runMark = "KVSAGENT_RUN"

// environment keeps the variables that a command needs: not the agent's keys, passwords and proxies, nor what is
// between it and the service manager.
func environment(env []string) []string {
	return slices.DeleteFunc(slices.Clone(env), func(kv string) bool {
		name, _, _ := strings.Cut(kv, "=")
		switch name {
		case "PATH", "HOME", "USER", "LOGNAME", "LANG", "TZ", "TMPDIR":
			return false
		case runMark:
			return true
		}
		return !strings.HasPrefix(name, "LC_") && !strings.HasPrefix(name, "KVSAGENT_")
	})
}

// watch waits for the command and cleans up after it.
func (p *process) watch() {
	defer close(p.gone)
	var wg sync.WaitGroup
	wg.Go(p.stderr.run)
	exited := make(chan struct{})
	go func() {
		defer close(exited)
		p.await()
	}()
	select {
	case <-exited:
	case <-p.ask:
		p.signal(unix.SIGTERM)
		p.signal(unix.SIGCONT) // a stopped process could not react
		t := time.NewTimer(grace)
		select {
		case <-exited:
		case <-t.C:
		}
		t.Stop()
	}
	// The rest of the group goes, too: an orphan could keep the camera open. The command itself has not been reaped
	// yet, so its number still names this group and no other.
	p.signal(unix.SIGKILL)
	<-exited
	killMarked(p.mark)
	p.err = p.cmd.Wait()
	p.drain(&wg)
	for range 100 { // killed processes take their time, and release their devices only at their end
		reap(-p.cmd.Process.Pid)
		if unix.Kill(-p.cmd.Process.Pid, 0) != nil {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// How long the output of a command may go on when it and all that is known of it are gone. What lies in a pipe is read
// at the pace of the stream.
const (
	drainErr = 2 * time.Second
	drainOut = 30 * time.Second
)

// drain waits for the end of stderr. A process that hides from us may hold it open for ever; it is not waited for.
func (p *process) drain(reading *sync.WaitGroup) {
	t := time.AfterFunc(drainErr, func() { _ = p.stderr.r.Close() })
	defer t.Stop()
	reading.Wait()
	time.AfterFunc(drainOut, func() { _ = p.stdout.Close() })
}

// killMarked ends the processes that have left the command's group and still have its mark in their environment.
func killMarked(mark string) {
	killed := map[int]bool{}
	for range 10 { // they may start others meanwhile
		found := false
		for _, pid := range marked(mark) {
			killed[pid] = true
			found = unix.Kill(pid, unix.SIGKILL) == nil || found
		}
		if !found {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	for pid := range killed {
		reap(pid)
	}
}

// reap takes the exit status of a process, or of those of a group (-pid), that have ended and are our children since
// their parents have gone: we may be the first process of a container. It waits for nothing.
func reap(pid int) {
	for {
		got, err := unix.Wait4(pid, nil, unix.WNOHANG, nil)
		if err != unix.EINTR && got <= 0 {
			return
		}
	}
}

// marked are the processes with a mark. Those of other users cannot be read, and are not ours.
func marked(mark string) (pids []int) {
	files, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, file := range files {
		env, err := os.ReadFile(file)
		if err != nil || !slices.Contains(strings.Split(string(env), "\x00"), mark) {
			continue
		}
		if pid, err := strconv.Atoi(strings.Split(file, "/")[2]); err == nil && pid != os.Getpid() {
			pids = append(pids, pid)
		}
	}
	return pids
}

// await returns when the command has ended. It leaves the reaping to Wait.
func (p *process) await() {
	for {
		err := unix.Waitid(unix.P_PID, p.cmd.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if err != unix.EINTR {
			return
		}
	}
}

func (p *process) signal(s unix.Signal) { _ = unix.Kill(-p.cmd.Process.Pid, s) }

// lastWords is how long a command may take to end by itself after its output has ended.
const lastWords = 500 * time.Millisecond

// settle waits for a command whose output has ended: its last words and its exit status are the reason.
func (p *process) settle() {
	t := time.NewTimer(lastWords)
	defer t.Stop()
	select {
	case <-p.gone:
	case <-t.C:
	}
}

// end asks the command to end, and returns when it has, with everything that it started. A command that is blocked
// writing to us does not notice the request, so reading stops before. end may be called more than once.
func (p *process) end() {
	p.ended.Do(func() {
		p.stderr.ended.Store(true)
		_ = p.stdout.Close()
		close(p.ask)
	})
	<-p.gone
}

// result returns the result of a command that ended by itself. Call it after end.
func (p *process) result() error {
	<-p.gone
	what := "it ended (exit status 0)"
	if p.err != nil {
		what = p.err.Error()
	}
	if last := p.last(); last != "" {
		return fmt.Errorf("%s: %s", what, last)
	}
	return errors.New(what)
}

// last returns the last line that the command wrote to stderr. Call it after end.
func (p *process) last() string {
	<-p.gone
	return p.stderr.last
}
