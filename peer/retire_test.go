package peer

import (
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/kvsagent/kvsagent/peer/internal/transport"
)

// TestEngineWithOtherOptions: connections that begin with the new Engine have its options, on the same sockets.
func TestEngineWithOtherOptions(t *testing.T) {
	e := loopback(t)
	o := e.o
	o.Limits = transport.Limits{SDP: 100}
	o.NAT1To1 = []string{"198.51.100.7"}
	other, err := e.With(o)
	if err != nil {
		t.Fatal(err)
	}
	if other.udp != e.udp || e.o.Limits.SDP == 100 || other.o.Limits.SDP != 100 {
		t.Error("the sockets are others, or the first engine has changed")
	}
	s := watch(t, other, loopback(t), running(t, metronome{20 * time.Millisecond}), slog.New(slog.DiscardHandler), nil)
	select {
	case err := <-s.ended:
		if err == nil {
			t.Error("an offer beyond the new limit was taken")
		}
	case <-time.After(20 * time.Second):
		t.Error("an offer beyond the new limit was taken")
	}
	o.UDPPort = 9
	if _, err := e.With(o); err == nil {
		t.Error("another port is no reason for other sockets")
	}
}

// TestRetiredEngineClosesAfterItsLastConnection keeps the sockets open for a viewer that is there.
func TestRetiredEngineClosesAfterItsLastConnection(t *testing.T) {
	masters := loopback(t)
	s := watch(t, masters, loopback(t), running(t, metronome{20 * time.Millisecond}), nil, nil)
	s.got.waits(t, 5)
	masters.Retire()
	before, _ := s.got.seen()
	s.got.waits(t, before+20)
	s.stop()
	if !closed(masters) {
		t.Error("the socket of a retired engine without connections is open")
	}
	idle := loopback(t)
	idle.Retire()
	if !closed(idle) {
		t.Error("the socket of an engine that had none is open")
	}
}

// TestRetiredEngineRevives while a connection keeps its sockets open, and not after.
func TestRetiredEngineRevives(t *testing.T) {
	masters := loopback(t)
	s := watch(t, masters, loopback(t), running(t, metronome{20 * time.Millisecond}), nil, nil)
	s.got.waits(t, 5)
	masters.Retire()
	if masters.Closed() || !masters.Revive() {
		t.Fatal("an engine with a connection cannot be revived")
	}
	s.stop()
	if closed(masters) {
		t.Error("the sockets of a revived engine have closed with its last connection")
	}
	masters.Retire()
	if !masters.Closed() || masters.Revive() {
		t.Error("an engine whose sockets are closed was revived")
	}
}

func closed(e *Engine) bool {
	_, err := e.udp.Out.WriteTo([]byte{1}, netip.MustParseAddrPort("127.0.0.1:9"))
	return errors.Is(err, net.ErrClosed)
}
