package rig

import (
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"testing"
)

// nextPort is where FreeAddress looks on: below the ports that the system gives to whoever asks for any, so that none
// is taken between the look and the use, and no two tests get the same.
var nextPort atomic.Uint32

// FreeAddress is a loopback address that nobody listens on.
func FreeAddress(t testing.TB) string {
	t.Helper()
	var err error
	for range 1000 {
		address := fmt.Sprintf("127.0.0.1:%d", 20_000+(uint32(os.Getpid())*100+nextPort.Add(1))%10_000)
		var l net.Listener
		if l, err = net.Listen("tcp", address); err == nil {
			_ = l.Close()
			return address
		}
	}
	t.Fatalf("no port is free: %v", err)
	return ""
}

// FreeUDPPort is a port that no socket has.
func FreeUDPPort(t testing.TB) uint16 {
	t.Helper()
	c, err := net.ListenUDP("udp", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).AddrPort().Port()
}
