// Package hostlock keeps two processes of one host from holding the same thing. The lock is a Unix socket in the
// abstract namespace: it is gone with its process, needs no directory that both can write, and tells who holds it.
package hostlock

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"sync"

	"golang.org/x/sys/unix"
)

// TakenError says that another process holds the lock.
type TakenError struct {
	PID int // 0: not known
}

func (e *TakenError) Error() string {
	if e.PID == 0 {
		return "another process of this host"
	}
	return fmt.Sprintf("process %d of this host", e.PID)
}

var (
	mu   sync.Mutex
	held = map[string]*lock{} // guarded by mu, like each lock's holders
)

type lock struct {
	socket  *net.UnixListener
	holders int // within this process
}

// Take takes the lock of a name, or returns a TakenError. A process may take it several times. A host without such
// sockets has no locks, and everybody gets them.
func Take(name string) (release func(), err error) {
	mu.Lock()
	defer mu.Unlock()
	l := held[name]
	if l == nil {
		address := &net.UnixAddr{Net: "unix", Name: fmt.Sprintf("@kvsagent-%x", sha256.Sum256([]byte(name)))}
		socket, err := net.ListenUnix("unix", address)
		if errors.Is(err, unix.EADDRINUSE) {
			return nil, &TakenError{holder(address)}
		}
		if err != nil {
			return func() {}, nil
		}
		l = &lock{socket: socket}
		held[name] = l
	}
	l.holders++
	return sync.OnceFunc(func() {
		mu.Lock()
		defer mu.Unlock()
		if l.holders--; l.holders == 0 {
			delete(held, name)
			_ = l.socket.Close()
		}
	}), nil
}

// holder is the process that listens.
func holder(address *net.UnixAddr) (pid int) {
	conn, err := net.DialUnix("unix", nil, address)
	if err != nil {
		return 0
	}
	defer conn.Close()
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0
	}
	_ = raw.Control(func(fd uintptr) {
		if cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
			pid = int(cred.Pid)
		}
	})
	return pid
}
