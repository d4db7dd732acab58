package sdp

import (
	"fmt"
	"net/netip"
)

// Remotes says to which of the addresses that a remote names we send packets. Those that it is heard from, with the
// password that it was told, are answered whatever this says: the remote is there, and can reach us.
type Remotes int

// OnLink, the default, is the internet and the networks that this host is on itself. A remote in another network of the
// same site tries our addresses, and is heard. Public is the internet alone, and All is what the routers know.
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
	netip.MustParsePrefix("198.18.0.0/15"),  // laboratories, RFC 2544; what some proxies make up
	netip.MustParsePrefix("fc00::/7"),       // unique local, RFC 4193
}

// Rule is where a remote may send us by naming an address.
type Rule struct {
	Remotes  Remotes
	Loopback bool           // is allowed, for development on one machine
	Own      bool           // an address of this host may be another process's
	Names    bool           // of the local network may be looked up, unless Remotes is Public
	Networks []netip.Prefix // that this host is on, with its own address in each
}

// Judge says why no packet goes to a candidate; the error is ErrNoUse for one that honest remotes name.
func (r Rule) Judge(c Candidate) error {
	if c.Name == "" {
		return r.Check(c.Address)
	}
	if !r.Names || r.Remotes == Public {
		return ErrNoUse // it arrives as peer reflexive, or through TURN
	}
	return nil
}

// Check says why no packet goes to an address; the error is ErrNoUse for one that honest remotes name.
func (r Rule) Check(a netip.Addr) error {
	for _, form := range forms(a) {
		if err := r.check(form); err != nil {
			return err
		}
		r.Loopback = false // nobody has a reason to disguise it
	}
	return nil
}

func (r Rule) check(a netip.Addr) error {
	if !mayAnswer(a, r.Loopback) {
		return fmt.Errorf("candidate with an address that nobody may send us to: %v", a)
	}
	onLink := false
	for _, n := range r.Networks {
		if a == broadcast(n) || a == n.Masked().Addr() && n.Addr() != a {
			return fmt.Errorf("candidate with the address of a whole network: %v", a)
		}
		if a == n.Addr() && !r.Loopback && !r.Own {
			return ErrNoUse // ourselves
		}
		onLink = onLink || n.Contains(a)
	}
	if r.Remotes == All || a.IsLoopback() || onLink && r.Remotes == OnLink {
		return nil
	}
	for _, p := range notPublic {
		if p.Contains(a) {
			return ErrNoUse
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
