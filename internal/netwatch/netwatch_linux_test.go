package netwatch

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/kvsagent/kvsagent/internal/netnstest"
)

// TestNamespace changes addresses and routes in its own network namespace, with real messages of the kernel.
func TestNamespace(t *testing.T) {
	if !netnstest.Inside(t, 5*time.Minute) {
		return
	}
	ip := func(words string) { t.Helper(); netnstest.IP(t, words) }
	ip("link add name left type veth peer name right")
	ip("link set left up")
	ip("link set right up")
	ctx, cancel := context.WithCancel(t.Context())
	changes := make(chan struct{}, 10)
	var wg sync.WaitGroup
	wg.Go(func() { Run(ctx, quiet, func() { changes <- struct{}{} }) })
	defer func() { cancel(); wg.Wait() }()
	settled(changes) // the automatic link-local addresses
	for _, step := range []string{
		"addr add 192.0.2.1/24 dev left", "route add default via 192.0.2.254", "route replace default via 192.0.2.253",
		"link set left down",
	} {
		ip(step)
		select {
		case <-changes:
		case <-time.After(20 * time.Second):
			t.Fatalf("ip %s was not noticed", step)
		}
		settled(changes)
		if step == "link set left down" {
			break
		}
		ip("route replace 203.0.113.0/24 dev left") // not a default route
		if n := settled(changes); n != 0 {
			t.Errorf("%d changes by a route that is not the default", n)
		}
	}
}

// settled returns when there has been no change for longer than a burst takes, with the number of changes.
func settled(changes <-chan struct{}) (n int) {
	for {
		select {
		case <-changes:
			n++
		case <-time.After(settle + settle/2):
			return n
		}
	}
}
