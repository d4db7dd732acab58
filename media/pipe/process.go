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

// grace is how long a command may take to end when it is asked to.
const grace = 2 * time.Second

// process is a running command with all processes that it starts. After end it is gone.
type process struct {
	cmd    *exec.Cmd
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
func start(args []string, stdin, control *os.File, log *slog.Logger) (*process, error) {
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

// environment removes variables that are for us alone: keys, and the socket of the service manager.
func environment(env []string) []string {
	return slices.DeleteFunc(slices.Clone(env), func(kv string) bool {
		name, _, _ := strings.Cut(kv, "=")
		switch name {
		case "NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC", "LISTEN_FDS", "LISTEN_PID",
			"LISTEN_FDNAMES", "CREDENTIALS_DIRECTORY":
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
	p.err = p.cmd.Wait()
	wg.Wait()
	for range 100 { // killed processes take their time, and release their devices only at their end
		if unix.Kill(-p.cmd.Process.Pid, 0) != nil {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
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
