package rig

import (
	"testing"
	"time"

	"github.com/kvsagent/kvsagent/internal/netnstest"
)

// Home is the address of a host that is alone on its network. What it sends elsewhere leaves, and nobody hears it.
const Home = "10.9.0.1"

// Inside reports whether the test runs in a network namespace of its own, with loopback, Home and no netfilter rules.
// If it does not, Inside has the whole test run again in a new one, within limit, takes over how that went, and reports
// false.
func Inside(t *testing.T, limit time.Duration) bool {
	t.Helper()
	if !netnstest.Inside(t, limit, binaryEnv+"="+Binary) {
		return false
	}
	for _, words := range []string{
		"link add eth0 type veth peer name far", "link set far up", "link set eth0 up",
		"addr add " + Home + "/24 dev eth0",
		"neigh add 10.9.0.254 lladdr 02:00:00:00:00:01 dev eth0 nud permanent", "route add default via 10.9.0.254",
	} {
		netnstest.IP(t, words)
	}
	return true
}
