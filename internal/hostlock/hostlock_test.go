package hostlock

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"os"
	"testing"
)

// TestTaken: who comes second is told who was first; within a process there is no second.
func TestTaken(t *testing.T) {
	name := t.TempDir() // nobody else's
	l, err := net.Listen("unix", fmt.Sprintf("@kvsagent-%x", sha256.Sum256([]byte(name))))
	if err != nil {
		t.Skip("no abstract sockets: ", err)
	}
	_, err = Take(name)
	var taken *TakenError
	if !errors.As(err, &taken) || taken.PID != os.Getpid() {
		t.Errorf("taken: %v", err)
	}
	_ = l.Close()
	one, err := Take(name)
	if err != nil {
		t.Fatal(err)
	}
	two, err := Take(name)
	if err != nil {
		t.Fatal(err)
	}
	one()
	one()
	if len(held) != 1 {
		t.Error("released while it is held")
	}
	two()
	if len(held) != 0 {
		t.Error("held by nobody")
	}
}
