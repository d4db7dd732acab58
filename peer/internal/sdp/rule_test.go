package sdp

import (
	"net/netip"
	"testing"
)

// TestRemotes holds where a remote may send us by naming an address.
func TestRemotes(t *testing.T) {
	networks := []netip.Prefix{netip.MustParsePrefix("192.168.1.10/24"), netip.MustParsePrefix("fd12::10/64")}
	for _, tt := range []struct {
		addr                string
		public, onLink, all bool
	}{
		{"198.51.100.7", true, true, true},
		{"2001:db8::7", true, true, true},
		{"192.168.1.77", false, true, true},
		{"fd12::77", false, true, true},
		{"::ffff:192.168.1.77", false, true, true},
		{"192.168.2.77", false, false, true},
		{"10.0.0.1", false, false, true},
		{"172.31.255.1", false, false, true},
		{"100.64.0.1", false, false, true},
		{"fd99::1", false, false, true},
		{"192.168.1.255", false, false, false}, // all hosts
		{"192.168.1.0", false, false, false},   // the network
		{"192.168.1.10", false, false, false},  // ourselves
		{"127.0.0.1", false, false, false},
		{"169.254.169.254", false, false, false},
		{"224.0.0.1", false, false, false},
		{"0.0.0.0", false, false, false},
		{"64:ff9b::a9fe:a9fe", false, false, false},
	} {
		for remotes, want := range map[Remotes]bool{Public: tt.public, OnLink: tt.onLink, All: tt.all} {
			if err := (Rule{Remotes: remotes,
				Networks: networks}).Check(netip.MustParseAddr(tt.addr)); (err == nil) != want {
				t.Errorf("%s with rule %d: %v, want %v", tt.addr, remotes, err, want)
			}
		}
	}
	own := Rule{Remotes: All, Own: true, Networks: networks}
	if err := own.Check(netip.MustParseAddr("192.168.1.10")); err != nil {
		t.Errorf("an address of our own, for a viewer whose master may be on this host: %v", err)
	}
}
