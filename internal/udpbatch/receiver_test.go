package udpbatch_test

import (
	"bytes"
	"errors"
	"net"
	"os"
	"testing"
	"time"

	"github.com/kvsagent/kvsagent/internal/udpbatch"
)

// TestReceiverGivesWhatWasSent compares with what net.UDPConn makes of the same datagrams, and has some wait so that
// they are read together.
func TestReceiverGivesWhatWasSent(t *testing.T) {
	for _, tt := range []struct{ to, from string }{
		{"127.0.0.1:0", "127.0.0.1:0"},
		{"[::]:0", "127.0.0.1:0"},
		{"[::]:0", "[::1]:0"},
	} {
		t.Run(tt.from+" to "+tt.to, func(t *testing.T) {
			conn, plain := listen(t, tt.to), listen(t, tt.to)
			senders := []*net.UDPConn{listen(t, tt.from), listen(t, tt.from)}
			r := udpbatch.NewReceiver(conn)
			send := func(to *net.UDPConn, i int) {
				t.Helper()
				at := net.UDPAddrFromAddrPort(addr(to))
				if at.IP.IsUnspecified() {
					at.IP = senders[0].LocalAddr().(*net.UDPAddr).IP
				}
				if _, err := senders[i%2].WriteTo(bytes.Repeat([]byte{byte(i)}, i*17%1500), at); err != nil {
					t.Fatal(err)
				}
			}
			together := 0
			for round := range 3 {
				for i := range 50 {
					send(conn, round*50+i)
					send(plain, round*50+i)
				}
				for i := range 50 {
					want := make([]byte, 2000)
					n, from, err := plain.ReadFromUDPAddrPort(want)
					if err != nil {
						t.Fatal(err)
					}
					if r.Waiting() {
						together++
					}
					got, at, err := r.Next()
					if err != nil {
						t.Fatal(err)
					}
					if !bytes.Equal(got, want[:n]) || at != from {
						t.Fatalf("datagram %d: %d bytes from %v, want %d from %v", i, len(got), at, n, from)
					}
				}
				if r.Waiting() {
					t.Error("there is more than was sent")
				}
			}
			if together < 50 {
				t.Errorf("%d of 150 datagrams were read with another", together)
			}
		})
	}
}

func TestReceiverEndsWithItsSocket(t *testing.T) {
	conn := listen(t, "127.0.0.1:0")
	r := udpbatch.NewReceiver(conn)
	_ = conn.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
	if _, _, err := r.Next(); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("after the deadline: %v", err)
	}
	_ = conn.SetReadDeadline(time.Time{})
	ended := make(chan error, 1)
	go func() {
		_, _, err := r.Next()
		ended <- err
	}()
	_ = conn.Close()
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		t.Errorf("after closing: %v", err)
	}
}

func TestReceiverAllocatesNothing(t *testing.T) {
	conn, sender := listen(t, "127.0.0.1:0"), listen(t, "127.0.0.1:0")
	r := udpbatch.NewReceiver(conn)
	if n := testing.AllocsPerRun(100, func() {
		for range 5 {
			if _, err := sender.WriteToUDPAddrPort([]byte{1, 2, 3}, addr(conn)); err != nil {
				t.Fatal(err)
			}
		}
		for range 5 {
			if _, _, err := r.Next(); err != nil {
				t.Fatal(err)
			}
		}
	}); n > 0 {
		t.Errorf("%v allocations for 5 datagrams", n)
	}
}
