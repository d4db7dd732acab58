package peer

import "testing"

// TestWhoClosesTheSocket: that it was closed is a fault unless we closed it.
func TestWhoClosesTheSocket(t *testing.T) {
	e := loopbackEngine(t)
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
