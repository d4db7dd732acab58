package rig

import (
	"context"
	"net/netip"
	"strconv"
	"testing"

	"github.com/kvsagent/kvsagent/e2e/impair"
)

// StartRelay puts a relay before a UDP port of this machine, until the test ends.
func StartRelay(t testing.TB, port uint16, seed uint64) *impair.Relay {
	t.Helper()
	r, err := impair.New(netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), port), seed)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("relay before port %s: %v", strconv.Itoa(int(port)), err)
		}
	})
	return r
}
