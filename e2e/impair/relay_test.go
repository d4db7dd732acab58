package impair_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/kvsagent/kvsagent/e2e/impair"
)

// echo answers each datagram with itself and the address that it came from.
func echo(t *testing.T) netip.AddrPort {
	t.Helper()
	socket, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 2000)
		for {
			n, from, err := socket.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			_, _ = socket.WriteToUDPAddrPort(append(buf[:n:n], from.String()...), from)
		}
	}()
	t.Cleanup(func() { socket.Close(); <-done })
	return socket.LocalAddr().(*net.UDPAddr).AddrPort()
}

func start(t *testing.T, upstream netip.AddrPort) *impair.Relay {
	t.Helper()
	r, err := impair.New(upstream, 1)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- r.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return r
}

func dial(t *testing.T, to netip.AddrPort) *net.UDPConn {
	t.Helper()
	c, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(to))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return c
}

// ask sends a word and returns the answer.
func ask(t *testing.T, c *net.UDPConn, word string) string {
	t.Helper()
	if _, err := c.Write([]byte(word)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 2000)
	n, err := c.Read(buf)
	if err != nil {
		t.Fatalf("no answer to %s: %v", word, err)
	}
	return string(buf[:n])
}

// TestRelay: each client has a socket of its own at the upstream and gets its own answers; both ways are impaired and
// counted.
func TestRelay(t *testing.T) {
	r := start(t, echo(t))
	one, two := dial(t, r.Addr()), dial(t, r.Addr())
	first := ask(t, one, "one ")
	for _, tt := range []struct {
		conn *net.UDPConn
		word string
		same bool
	}{{one, "one ", true}, {two, "two ", false}} {
		got := ask(t, tt.conn, tt.word)
		if got[:4] != tt.word || (got[4:] == first[4:]) != tt.same {
			t.Errorf("the answer to %q is %q; %q was the first client's", tt.word, got, first)
		}
	}
	const delay = 30 * time.Millisecond
	r.Set(impair.Link{Delay: delay}, impair.Link{Delay: 2 * delay})
	began := time.Now()
	ask(t, one, "slow")
	if took := time.Since(began); took < 3*delay {
		t.Errorf("the answer took %v, want %v and more", took, 3*delay)
	}
	r.Set(impair.Link{}, impair.Link{Loss: 1})
	if _, err := one.Write([]byte("lost")); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		if _, up := r.Counts(); up.Lost == 1 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("nothing is lost on a link that loses everything")
		}
	}
	r.Set(impair.Link{}, impair.Link{})
	ask(t, two, "last")
	down, up := r.Counts()
	if up.Packets != 6 || up.Passed != 5 || down.Packets != 5 || down.Passed != 5 || down.Out <= up.Out {
		t.Errorf("down %+v, up %+v: want all but the lost one to have passed", down, up)
	}
}

// TestFlowsAreBounded: more clients than a relay has room for are not served, and those it has are.
func TestFlowsAreBounded(t *testing.T) {
	r := start(t, echo(t))
	var conns []*net.UDPConn
	for i := range 64 {
		c := dial(t, r.Addr())
		ask(t, c, fmt.Sprint(i))
		conns = append(conns, c)
	}
	if _, err := dial(t, r.Addr()).Write([]byte("no room")); err != nil {
		t.Fatal(err)
	}
	ask(t, conns[0], "again")
	if _, up := r.Counts(); up.Packets != 65 {
		t.Errorf("%d packets went up, want 65: those of 64 clients", up.Packets)
	}
}

func TestUpstreamIsLocal(t *testing.T) {
	if r, err := impair.New(netip.MustParseAddrPort("192.0.2.1:9"), 1); err == nil {
		t.Errorf("New made %v before an address that is not on this machine", r.Addr())
	}
}
