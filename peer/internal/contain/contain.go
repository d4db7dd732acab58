package contain

import (
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"
)

// Guard contains a panic in whatever works for one connection: that connection ends with the reason, the stack is
// logged once, and the Engine counts. Nobody else notices. Each function that a goroutine or a callback of a connection
// begins with defers contain; what is locked below it is unlocked by defer.
//
// A nil guard contains nothing: a sender that a test made panics.
type Guard struct {
	Wake   func() // tells Run that the connection is to end
	Log    *slog.Logger
	Panics *atomic.Uint64     // of the Engine
	Inject func(where string) // a test's; nil outside of tests
	logged sync.Once

	mu  sync.Mutex // guards the field below
	why error      // what has ended the connection first
}

// Fail ends the connection, from whatever goroutine. It does not wait.
func (g *Guard) Fail(err error) {
	g.blame(err)
	g.Wake()
}

func (g *Guard) blame(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.why == nil {
		g.why = err
	}
}

// Reason is why the connection is to end; nil when it is not.
func (g *Guard) Reason() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.why
}

// PanicError is why a connection ended that a fault of ours has hit.
type PanicError struct {
	Where string // which part of the connection's work
	Value any    // what recover gave
}

func (e *PanicError) Error() string {
	return fmt.Sprintf("a fault of the agent's own in the %s: panic: %v; hint: please report it, with the stack in "+
		"the log", e.Where, e.Value)
}

// Contain takes a panic. It has to be deferred itself: recover works nowhere else.
func (g *Guard) Contain(where string) {
	if g == nil {
		return
	}
	if v := recover(); v != nil {
		g.Caught(where, v)
	}
}

// Caught ends the connection for a panic that was recovered, and gives the reason.
func (g *Guard) Caught(where string, v any) error {
	err := &PanicError{where, v}
	g.Panics.Add(1)
	g.logged.Do(func() {
		g.Log.Error("panic: the connection ends", "in", where, "panic", fmt.Sprint(v), "stack", string(debug.Stack()))
	})
	g.Fail(err)
	return err
}

// Run calls f contained, and gives a panic as its error.
func (g *Guard) Run(where string, f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = g.Caught(where, v)
		}
	}()
	return f()
}

// Do calls f contained.
func (g *Guard) Do(where string, f func()) {
	defer g.Contain(where)
	f()
}

// At is where a test may make a part of the work panic.
func (g *Guard) At(where string) {
	if g != nil && g.Inject != nil {
		g.Inject(where)
	}
}
