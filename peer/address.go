package peer

import "net/netip"

// A viewer writes the addresses that we send packets to, and the text of its user name is in each of them. So it must not aim us at this
// host, at whoever hears a broadcast, or at the services that clouds keep for their machines alone.
var forbidden = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),          // this network, RFC 791
	netip.MustParsePrefix("169.254.0.0/16"),     // link-local, and the metadata service of most clouds
	netip.MustParsePrefix("192.0.0.0/24"),       // IETF protocol assignments, RFC 6890
	netip.MustParsePrefix("224.0.0.0/3"),        // multicast, reserved, broadcast
	netip.MustParsePrefix("100.100.100.200/32"), // metadata service of Alibaba
	netip.MustParsePrefix("168.63.129.16/32"),   // wire server of Azure
	netip.MustParsePrefix("::/127"),             // unspecified, loopback
	netip.MustParsePrefix("100::/64"),           // discard, RFC 6666
	netip.MustParsePrefix("2001::/32"),          // Teredo: an IPv4 address behind a mask
	netip.MustParsePrefix("fe80::/10"),          // link-local
	netip.MustParsePrefix("fec0::/10"),          // site-local, RFC 3879
	netip.MustParsePrefix("fd00:ec2::254/128"),  // metadata service of AWS
	netip.MustParsePrefix("64:ff9b:1::/48"),     // NAT64 of unknown form, RFC 8215
	netip.MustParsePrefix("ff00::/8"),           // multicast
}

// wrapped are IPv6 networks whose addresses are IPv4 addresses in disguise, and where in the 16 bytes those begin.
var wrapped = []struct {
	network netip.Prefix
	at      int
}{
	{netip.MustParsePrefix("2002::/16"), 2},     // 6to4, RFC 3056
	{netip.MustParsePrefix("64:ff9b::/96"), 12}, // NAT64, RFC 6052
	{netip.MustParsePrefix("::/96"), 12},        // IPv4-compatible, RFC 4291; deprecated, still understood here and there
}

// canonicalAddr takes an address out of all its disguises.
func canonicalAddr(a netip.Addr) netip.Addr {
	a = a.Unmap().WithZone("")
	if a.Is4() || a.IsLoopback() || a.IsUnspecified() {
		return a
	}
	for _, w := range wrapped {
		if w.network.Contains(a) {
			b := a.As16()
			return netip.AddrFrom4([4]byte(b[w.at : w.at+4]))
		}
	}
	return a
}

// mayReach says whether a remote may make us send packets to an address. Loopback is for development on one machine.
func mayReach(a netip.Addr, loopback bool) bool {
	a = canonicalAddr(a)
	if a.IsLoopback() {
		return loopback
	}
	for _, p := range forbidden {
		if p.Contains(a) {
			return false
		}
	}
	return a.IsValid()
}
