package netnstest_test

import (
	"net"
	"os"
	"testing"
	"time"

	"github.com/kvsagent/kvsagent/internal/netnstest"
)

// TestInside: the test that runs inside has loopback, the addresses that it gives itself and nothing of the host's, and
// is told what it was given.
func TestInside(t *testing.T) {
	if !netnstest.Inside(t, time.Minute, "NETNSTEST=told") {
		return
	}
	netnstest.IP(t, "addr add 192.0.2.1/24 dev lo")
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	var own bool
	for _, a := range addresses {
		ip, _, err := net.ParseCIDR(a.String())
		if err != nil {
			t.Fatal(err)
		}
		own = own || ip.String() == "192.0.2.1"
		if !ip.IsLoopback() && ip.String() != "192.0.2.1" {
			t.Errorf("%v is an address of the host", ip)
		}
	}
	if !own || os.Getenv("NETNSTEST") != "told" {
		t.Errorf("addresses %v, told %q", addresses, os.Getenv("NETNSTEST"))
	}
}

// TestInsideSubtest: a part of a test is run by its own name.
func TestInsideSubtest(t *testing.T) {
	t.Run("of two", func(t *testing.T) {
		if netnstest.Inside(t, time.Minute) {
			t.Log("it is told")
		}
	})
}
