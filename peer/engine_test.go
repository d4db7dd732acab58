package peer

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/kvsagent/kvsagent/peer/internal/transport"
)

// TestWhoClosesTheSocket: that it was closed is a fault unless we closed it.
func TestWhoClosesTheSocket(t *testing.T) {
	e := loopback(t)
	if err := e.udp.In.Close(); err != nil { // as Pion does
		t.Fatal(err)
	}
	select {
	case <-e.Failed():
	default:
		t.Error("nobody is told that the socket is lost")
	}
	if e.Err() == nil {
		t.Error("there is no reason")
	}
	good, err := NewEngine(EngineOptions{Loopback: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := good.Close(); err != nil {
		t.Fatal(err)
	}
	if err := good.Err(); err != nil {
		t.Errorf("an engine that was closed says %v", err)
	}
}

// TestLostKeysAreToldOnce: that a new kind of handshake gives no keys is told once for all viewers. A viewer that
// leaves no other way is not.
func TestLostKeysAreToldOnce(t *testing.T) {
	log := &logbook{}
	l := slog.New(slog.NewTextHandler(log, nil))
	e := &Engine{o: EngineOptions{Log: l}}
	e.onIndirect(l, errors.New("srtp profile 0x0001 is not AES-GCM"))
	if text := log.String(); text != "" {
		t.Errorf("told of one viewer: %s", text)
	}
	for range 3 {
		e.onIndirect(l, fmt.Errorf("keys: %w", transport.ErrNoSecret))
	}
	if n := strings.Count(log.String(), "level=WARN"); n != 1 {
		t.Errorf("told %d times, want once:\n%s", n, log)
	}
}
