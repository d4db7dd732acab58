// Package fault contains panics at the borders of the agent's parts: a channel, a source, a sink, an HTTP request. That
// part ends with the reason, the stack is logged, and nobody else notices. peer/internal/contain does the same for
// connections.
package fault

import (
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync/atomic"
)

var panics atomic.Uint64

// Panics counts those that were contained in this process.
func Panics() uint64 { return panics.Load() }

// Error is why a part ended that a fault of ours has hit.
type Error struct {
	Where string
	Value any // what recover gave
}

func (e *Error) Error() string {
	return fmt.Sprintf("a fault of the agent's own in the %s: panic: %v; hint: please report it, with the stack in "+
		"the log", e.Where, e.Value)
}

// Contain takes a panic and hands the reason to then, which may be nil. It has to be deferred itself: recover works
// nowhere else.
func Contain(log *slog.Logger, where string, then func(error)) {
	v := recover()
	if v == nil {
		return
	}
	panics.Add(1)
	err := &Error{where, v}
	log.Error("a fault was contained", "where", where, "panic", fmt.Sprint(v), "stack", string(debug.Stack()))
	if then != nil {
		then(err)
	}
}
