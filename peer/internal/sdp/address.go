package sdp

import "net/netip"

// A viewer writes the addresses that we send packets to, and the text of its user name is in each of them. So it must
// not aim us at this host, at whoever hears a broadcast, or at the services that clouds keep for their machines alone.
var forbidden = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),              // this network, RFC 791
	netip.MustParsePrefix("169.254.0.0/16"),         // link-local, and the metadata service of most clouds
	netip.MustParsePrefix("192.0.0.0/24"),           // IETF protocol assignments, RFC 6890
	netip.MustParsePrefix("224.0.0.0/3"),            // multicast, reserved, broadcast
	netip.MustParsePrefix("100.100.100.200/32"),     // metadata service of Alibaba
	netip.MustParsePrefix("168.63.129.16/32"),       // wire server of Azure
	netip.MustParsePrefix("::/127"),                 // unspecified, loopback
	netip.MustParsePrefix("100::/64"),               // discard, RFC 6666
	netip.MustParsePrefix("2001::/32"),              // Teredo: an IPv4 address behind a mask
	netip.MustParsePrefix("fe80::/10"),              // link-local
	netip.MustParsePrefix("fec0::/10"),              // site-local, RFC 3879
	netip.MustParsePrefix("fd00:ec2::/112"),         // metadata and other services of AWS
	netip.MustParsePrefix("fd20:ce::254/128"),       // metadata service of Google
	netip.MustParsePrefix("fd00:c1::a9fe:a9fe/128"), // metadata service of Oracle
	netip.MustParsePrefix("fd00:42::42/128"),        // metadata service of Scaleway
	netip.MustParsePrefix("64:ff9b:1::/48"),         // NAT64 of unknown form, RFC 8215
	netip.MustParsePrefix("ff00::/8"),               // multicast
}

// wrapped are IPv6 networks whose addresses are IPv4 addresses in disguise, and where in the 16 bytes those begin.
var wrapped = []struct {
	network netip.Prefix
	at      int
}{
	{netip.MustParsePrefix("2002::/16"), 2},        // 6to4, RFC 3056
	{netip.MustParsePrefix("64:ff9b::/96"), 12},    // NAT64, RFC 6052
	{netip.MustParsePrefix("::ffff:0:0:0/96"), 12}, // IPv4-translated, RFC 2765
	// IPv4-compatible, RFC 4291; deprecated, still understood here and there.
	{netip.MustParsePrefix("::/96"), 12},
}

// forms are an address as it stands and, behind it, the IPv4 address that it may be a disguise of. Who may not be sent
// to in one form may not in another.
func forms(a netip.Addr) []netip.Addr {
	a = a.Unmap().WithZone("")
	if inner, ok := innerIPv4(a); ok {
		return []netip.Addr{a, inner}
	}
	return []netip.Addr{a}
}

func innerIPv4(a netip.Addr) (netip.Addr, bool) {
	if !a.Is6() || a.IsLoopback() || a.IsUnspecified() {
		return netip.Addr{}, false
	}
	b := a.As16()
	for _, w := range wrapped {
		if w.network.Contains(a) {
			return netip.AddrFrom4([4]byte(b[w.at : w.at+4])), true
		}
	}
	if b[8]&^2 == 0 && b[9] == 0 && b[10] == 0x5e && b[11] == 0xfe { // ISATAP, RFC 5214 section 6.1
		return netip.AddrFrom4([4]byte(b[12:])), true
	}
	return netip.Addr{}, false
}

// MayAnswer says whether packets may go to an address that a remote was heard from. Loopback is for development on one
// machine.
func MayAnswer(a netip.Addr, loopback bool) bool {
	for i, form := range forms(a) {
		if !mayAnswer(form, loopback && i == 0) {
			return false
		}
	}
	return true
}

func mayAnswer(a netip.Addr, loopback bool) bool {
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
