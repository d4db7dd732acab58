package peer

import (
	"fmt"
	"net/netip"
)

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
	{netip.MustParsePrefix("2002::/16"), 2},        // 6to4, RFC 3056
	{netip.MustParsePrefix("64:ff9b::/96"), 12},    // NAT64, RFC 6052
	{netip.MustParsePrefix("::ffff:0:0:0/96"), 12}, // IPv4-translated, RFC 2765
	{netip.MustParsePrefix("::/96"), 12},           // IPv4-compatible, RFC 4291; deprecated, still understood here and there
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

// mayAnswer says whether packets may go to an address that a remote was heard from. Loopback is for development on one machine.
func mayAnswer(a netip.Addr, loopback bool) bool {
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

// Remotes says to which of the addresses that a remote names we send packets. Those that it is heard from, with the password that it was
// told, are answered whatever this says: the remote is there, and can reach us.
type Remotes int

// OnLink, the default, is the internet and the networks that this host is on itself. A remote in another network of the same site tries our
// addresses, and is heard. Public is the internet alone, and All is what the routers know.
const (
	OnLink Remotes = iota
	Public
	All
)

// notPublic are addresses that mean another host in every site, besides those that are forbidden anyway.
var notPublic = []netip.Prefix{
	netip.MustParsePrefix("10.0.0.0/8"),     // RFC 1918
	netip.MustParsePrefix("172.16.0.0/12"),  // RFC 1918
	netip.MustParsePrefix("192.168.0.0/16"), // RFC 1918
	netip.MustParsePrefix("100.64.0.0/10"),  // behind a provider's NAT, RFC 6598; some VPNs
	netip.MustParsePrefix("fc00::/7"),       // unique local, RFC 4193
}

// rule is where a remote may send us by naming an address.
type rule struct {
	remotes  Remotes
	loopback bool
	names    bool           // with a name of the local network, too
	networks []netip.Prefix // that this host is on, with its own address in each
}

func (e *Engine) rule(trusted bool) rule {
	r := rule{remotes: e.o.Remotes, loopback: e.o.Loopback, names: e.o.MDNS}
	if trusted || e.host == nil {
		r.remotes = All
	}
	if e.host != nil {
		r.networks = e.host.networks()
	}
	return r
}

// check says why no packet goes to an address; errNoUse is one that honest remotes name.
func (r rule) check(a netip.Addr) error {
	if !mayAnswer(a, r.loopback) {
		return fmt.Errorf("candidate with an address that nobody may send us to: %v", a)
	}
	a = canonicalAddr(a)
	onLink := false
	for _, n := range r.networks {
		if a == broadcast(n) || a == n.Masked().Addr() && n.Addr() != a {
			return fmt.Errorf("candidate with the address of a whole network: %v", a)
		}
		if a == n.Addr() && !r.loopback {
			return errNoUse // ourselves
		}
		onLink = onLink || n.Contains(a)
	}
	if r.remotes == All || a.IsLoopback() || onLink && r.remotes == OnLink {
		return nil
	}
	for _, p := range notPublic {
		if p.Contains(a) {
			return errNoUse
		}
	}
	return nil
}

// broadcast is the address of all hosts of an IPv4 network (RFC 919); invalid where there is none.
func broadcast(n netip.Prefix) netip.Addr {
	if !n.Addr().Is4() || n.Bits() > 30 {
		return netip.Addr{}
	}
	b := n.Masked().Addr().As4()
	for i := n.Bits(); i < 32; i++ {
		b[i/8] |= 1 << (7 - i%8)
	}
	return netip.AddrFrom4(b)
}
