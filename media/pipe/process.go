package pipe

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// grace is how long a command has to end when it is asked to.
const grace = 2 * time.Second

// process is a running command with all that it starts. After end it is gone.
type process struct {
	cmd    *exec.Cmd
	stdout *os.File
	stderr *tail
	gone   chan struct{} // closed when the command has ended and its group was killed
	err    error         // of the command; valid when gone is closed
	ended  sync.Once
	ask    chan struct{} // closed when the command is to end
}

// start runs a command line in a process group of its own. Of our descriptors it gets stdin, stdout and stderr, and as
// the fourth the reading end of a control pipe, unless that is nil: Go opens all others close-on-exec, and those that
// we were started with ourselves are made so.
func start(args []string, stdin, control *os.File, log *slog.Logger) (*process, error) {
	if len(args) == 0 {
		return nil, errors.New("no command")
	}
	cmd := exec.Command(args[0], args[1:]...)
	if cmd.Err != nil {
		return nil, fmt.Errorf("%w; hint: install it, or write its path", cmd.Err)
	}
	_ = unix.CloseRange(3, ^uint(0), unix.CLOSE_RANGE_CLOEXEC) // Linux 5.11; before, who starts us has to see to it
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
	cmd.Env = environment(os.Environ())
	if control != nil {
		cmd.ExtraFiles, cmd.Env = []*os.File{control}, append(cmd.Env, "KVSAGENT_CONTROL_FD=3")
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	err = cmd.Start()
	_, _ = outW.Close(), errW.Close()
	if err != nil {
		return nil, errors.Join(err, outR.Close(), errR.Close())
	}
	p := &process{cmd: cmd, stdout: outR, stderr: &tail{r: errR, log: log}, gone: make(chan struct{}),
		ask: make(chan struct{})}
	go p.watch()
	return p, nil
}

// environment leaves out what is meant for us alone: keys, and the line to the service manager.
func environment(env []string) []string {
	return slices.DeleteFunc(slices.Clone(env), func(kv string) bool {
		name, _, _ := strings.Cut(kv, "=")
		switch name {
		case "NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "CREDENTIALS_DIRECTORY":
			return true
		}
		return strings.HasPrefix(name, "AWS_")
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
		p.signal(unix.SIGCONT) // one that was stopped could not hear us
		t := time.NewTimer(grace)
		select {
		case <-exited:
		case <-t.C:
		}
		t.Stop()
	}
	// Whoever is left of the group goes too: a camera that an orphan holds could not be opened again. The command
	// itself is not yet reaped, so that its number still names this group and no other.
	p.signal(unix.SIGKILL)
	<-exited
	p.err = p.cmd.Wait()
	wg.Wait()
	for range 100 { // what was killed goes in its own time, and lets go of its devices only then
		if unix.Kill(-p.cmd.Process.Pid, 0) != nil {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// await returns when the command has ended, and leaves it to Wait to reap it.
func (p *process) await() {
	for {
		err := unix.Waitid(unix.P_PID, p.cmd.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if err != unix.EINTR {
			return
		}
	}
}

func (p *process) signal(s unix.Signal) { _ = unix.Kill(-p.cmd.Process.Pid, s) }

// lastWords is how long a command whose output has ended may take to end by itself.
const lastWords = 500 * time.Millisecond

// settle waits for a command whose output has ended: what it says at its end, and its own exit status, are the reason.
func (p *process) settle() {
	t := time.NewTimer(lastWords)
	defer t.Stop()
	select {
	case <-p.gone:
	case <-t.C:
	}
}

// end asks the command to end, and returns when it has, with all that it started. A command that waits for us to read
// does not hear that it is asked, so nobody reads from then on. end may be called more than once.
func (p *process) end() {
	p.ended.Do(func() {
		p.stderr.ended.Store(true)
		_ = p.stdout.Close()
		close(p.ask)
	})
	<-p.gone
}

// result returns what became of the command that ended by itself. Call it after end.
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
