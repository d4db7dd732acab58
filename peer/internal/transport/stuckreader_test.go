package transport

import (
	"net"
	"testing"
	"time"
)

// TestStuckReader: a reader that does not come back for the next packet is stuck; one that waits for a packet is not.
func TestStuckReader(t *testing.T) {
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	d := NewUDPDemux(conn)
	from, err := net.DialUDP("udp", nil, conn.LocalAddr().(*net.UDPAddr))
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	read, again, done := make(chan struct{}), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		b := make([]byte, 1500)
		for {
			if _, _, err := d.ReadFromAddrPort(b); err != nil {
				return
			}
			read <- struct{}{}
			<-again
		}
	}()
	now := time.Now()
	if d.Work.Stuck(now)+d.Work.Stuck(now.Add(20*time.Second)) != 0 {
		t.Error("waiting for a packet is stuck")
	}
	for range 2 {
		if _, err := from.Write([]byte("hello")); err != nil {
			t.Fatal(err)
		}
		<-read
		d.Work.Stuck(now)
		if got := d.Work.Stuck(now.Add(15 * time.Second)); got != 15*time.Second {
			t.Errorf("stuck for %v, want 15 s", got)
		}
		now = now.Add(20 * time.Second)
		again <- struct{}{}
	}
	_ = d.Close()
	<-done
}
