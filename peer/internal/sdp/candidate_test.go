package sdp

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/pion/ice/v4"
)

// TestParseCandidate: what is read, and what Pion makes of what we write.
func TestParseCandidate(t *testing.T) {
	for _, tt := range []struct{ line, want string }{
		{"candidate:1 1 udp 2130706431 192.0.2.1 9 typ host", "candidate:1 1 udp 2130706431 192.0.2.1 9 typ host"},
		{"1 1 UDP 1 192.0.2.1 9 typ host generation 0 ufrag abcd network-id 1",
			"candidate:1 1 udp 1 192.0.2.1 9 typ host ufrag abcd"},
		{"a=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\n", "candidate:1 1 udp 1 192.0.2.1 9 typ host"},
		{"candidate: 1 udp 1 192.0.2.1 9 typ host", "candidate:0 1 udp 1 192.0.2.1 9 typ host"},
		{"candidate:a.b-c_d 1 udp 1 192.0.2.1 9 typ host", "candidate:0 1 udp 1 192.0.2.1 9 typ host"},
		{"candidate:1  1 udp 1  192.0.2.1 9 typ host ", "candidate:1 1 udp 1 192.0.2.1 9 typ host"},
		{"candidate:1 1 udp 1 192.0.2.1 9 typ srflx raddr 10.9.8.7 rport 22",
			"candidate:1 1 udp 1 192.0.2.1 9 typ srflx"},
		{"candidate:1 1 udp 1 192.0.2.1 9 typ relay raddr x.local rport 0",
			"candidate:1 1 udp 1 192.0.2.1 9 typ relay"},
		{"candidate:1 1 udp 1 2001:DB8:0::1 9 typ host", "candidate:1 1 udp 1 2001:db8::1 9 typ host"},
		{"candidate:1 1 udp 1 2001:db8::1%eth0 9 typ host", "candidate:1 1 udp 1 2001:db8::1 9 typ host"},
		{"candidate:1 1 udp 1 ::ffff:192.0.2.1 9 typ host", "candidate:1 1 udp 1 192.0.2.1 9 typ host"},
		{"candidate:1 1 udp 1 ::ffff:0:192.0.2.1 9 typ host", "candidate:1 1 udp 1 ::ffff:0:c000:201 9 typ host"},
		{"candidate:1 1 udp 1 a-b.local 9 typ host", "candidate:1 1 udp 1 a-b.local 9 typ host"},
		// of no use
		{"candidate:1 2 udp 1 192.0.2.1 9 typ host", "of no use"},
		{"candidate:1 1 tcp 1 192.0.2.1 9 typ host tcptype passive", "of no use"},
		{"candidate:1 1 ssltcp 1 192.0.2.1 443 typ host", "of no use"},
		// not understood
		{"", "not understood"},
		{"candidate:1 1 udp 1 192.0.2.1 9 type host", "not understood"},
		{"candidate:1 1 udp 1 192.0.2.1 0 typ host", "port"},
		{"candidate:1 1 udp 1 192.0.2.1 65536 typ host", "port"},
		{"candidate:1 1 udp 1 192.0.2.1 +9 typ host", "port"},
		{"candidate:1 1 udp 4294967296 192.0.2.1 9 typ host", "priority"},
		{"candidate:1 1 udp 1 192.0.2.1 9 typ token", "type"},
		{"candidate:1 1 udp 1 192.0.2.1 9 typ host ufrag a'b&c", "ufrag"},
		{"candidate:1 1 udp 1 example.com 9 typ host", "for an address"},
		{"candidate:1 1 udp 1 localhost 9 typ host", "for an address"},
		{"candidate:1 1 udp 1 x.invalid 9 typ host", "for an address"},
		{"candidate:1 1 udp 1 .local 9 typ host", "name"},
		{"candidate:1 1 udp 1 a_b.local 9 typ host", "name"},
		{"candidate:1 1 udp 1 x.local 9 typ srflx", "name"},
		{"candidate:1 1 udp 1 127.1 9 typ host", "for an address"},
		{"candidate:1 1 udp 1 0177.0.0.1 9 typ host", "for an address"},
		{"candidate:1 1 udp 1 0x7f.0.0.1 9 typ host", "for an address"},
		{"candidate:1 1 udp 1 0x7f000001 9 typ host", "for an address"},
		{"candidate:1 1 udp 1 2130706433 9 typ host", "for an address"},
		{"candidate:1 1 udp 1 192.0.2.1. 9 typ host", "for an address"},
		{"candidate:1 1 udp 1 [2001:db8::1] 9 typ host", "for an address"},
		{"candidate:1 1 udp 1 192.0.2.1/24 9 typ host", "for an address"},
		{"candidate:1 1 udp 1 ::ffff:0177.0.0.1 9 typ host", "for an address"},
		{"candidate:1 1 udp 1 192.0.2.1 9 typ host " + strings.Repeat("x y ", 300), "bytes; the limit is 1024"},
	} {
		c, err := ParseCandidate(tt.line)
		if err != nil {
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%q: %v, want %q", tt.line, err, tt.want)
			}
			continue
		}
		if c.String() != tt.want {
			t.Errorf("%q is written as %q, want %q", tt.line, c, tt.want)
		}
		comparePion(t, c)
	}
}

// comparePion gives Pion what we write and wants the same back.
func comparePion(t *testing.T, c Candidate) ice.Candidate {
	t.Helper()
	p, err := ice.UnmarshalCandidate(c.String())
	if err != nil {
		t.Fatalf("Pion does not read %q: %v", c, err)
	}
	address := c.Name
	if address == "" {
		address = c.Address.String()
	}
	ufrag, _ := p.GetExtension("ufrag")
	if p.Address() != address || p.Port() != int(c.Port) || p.Type().String() != c.Type || p.Component() != 1 ||
		!p.NetworkType().IsUDP() ||
		ufrag.Value != c.Ufrag || p.TCPType() != ice.TCPTypeUnspecified || p.RelatedAddress() != nil &&
		p.RelatedAddress().Address != "" {
		t.Fatalf("%q: Pion reads %v", c, p)
	}
	return p
}

// TestCandidateIsReadOnce: what separates fields for us separates them for Pion, so that no address can stand where
// only one of us looks.
func TestCandidateIsReadOnce(t *testing.T) {
	for _, separator := range []string{"\v", "\t", "\f", "\r", "\n", "\x00", "\u0085", "\u00a0", "\u2000", "\u2028",
		"\u3000", "\ufeff"} {
		line := strings.ReplaceAll("candidate:1 1 udp_1_8.8.8.8_80_typ_host 2130706431 10.9.8.7 22 typ host", "_",
			separator)
		c, err := ParseCandidate(line)
		if err == nil || !strings.Contains(err.Error(), "candidate with the character") {
			t.Errorf("%q was read as %v (%v)", line, c, err)
		}
	}
}

// denied judges an address a second way: by the words of net/netip, and by unwrapping as often as there is something to
// unwrap.
func denied(a netip.Addr) bool {
	a = a.WithZone("").Unmap()
	if inner, ok := unwrapped(a); ok && denied(inner) {
		return true
	}
	if a.IsUnspecified() || a.IsLoopback() || a.IsMulticast() || a.IsLinkLocalUnicast() ||
		a.IsInterfaceLocalMulticast() {
		return true
	}
	if a.Is4() {
		b := a.As4()
		return b[0] == 0 || b[0] >= 224 || b[0] == 192 && b[1] == 0 && b[2] == 0 || a.String() == "100.100.100.200" ||
			a.String() == "168.63.129.16"
	}
	s := a.StringExpanded()
	return strings.HasPrefix(s, "2001:0000:") || strings.HasPrefix(s, "0064:ff9b:0001:") ||
		strings.HasPrefix(s, "0100:0000:0000:0000:") ||
		s[:2] == "fe" && s[2] >= 'c' || strings.HasPrefix(s, "fd00:0ec2:0000:0000:0000:0000:0000:") ||
		a.String() == "fd20:ce::254" ||
		a.String() == "fd00:c1::a9fe:a9fe" || a.String() == "fd00:42::42"
}

func unwrapped(a netip.Addr) (netip.Addr, bool) {
	if !a.Is6() || a.IsLoopback() || a.IsUnspecified() {
		return netip.Addr{}, false
	}
	b, s := a.As16(), a.StringExpanded()
	at := 12
	switch {
	case b[0] == 0x20 && b[1] == 0x02:
		at = 2
	case strings.HasPrefix(s, "0064:ff9b:0000:0000:0000:0000:"), strings.HasPrefix(s, "0000:0000:0000:0000:ffff:0000:"),
		strings.HasPrefix(s, "0000:0000:0000:0000:0000:0000:"), s[20:29] == "0000:5efe", s[20:29] == "0200:5efe":
	default:
		return netip.Addr{}, false
	}
	return netip.AddrFrom4([4]byte(b[at : at+4])), true
}

// deniedBy judges by a rule a second way.
func deniedBy(a netip.Addr, r Rule) bool {
	a = a.WithZone("").Unmap()
	if inner, ok := unwrapped(a); ok && deniedBy(inner, r) {
		return true
	}
	if a.IsLoopback() {
		return !r.Loopback
	}
	if denied(a) {
		return true
	}
	private := a.IsPrivate() || netip.MustParsePrefix("100.64.0.0/10").Contains(a) ||
		netip.MustParsePrefix("198.18.0.0/15").Contains(a)
	for _, n := range r.Networks {
		if n.Contains(a) && (a == n.Addr() && !r.Loopback || a.Is4() && strings.HasSuffix(a.String(), ".255")) ||
			a != n.Addr() && a == n.Masked().Addr() {
			return true
		}
		if n.Contains(a) && r.Remotes == OnLink {
			private = false
		}
	}
	return private && r.Remotes != All
}

// rules are all that an operator can choose.
func rules() (out []Rule) {
	networks := []netip.Prefix{netip.MustParsePrefix("192.168.1.20/24"), netip.MustParsePrefix("fd12::20/64")}
	for _, remotes := range []Remotes{OnLink, Public, All} {
		for _, loopback := range []bool{false, true} {
			for _, names := range []bool{false, true} {
				r := Rule{Remotes: remotes, Loopback: loopback, Names: names}
				out = append(out, r)
				r.Networks = networks
				out = append(out, r)
			}
		}
	}
	return out
}

var addresses = []string{
	"192.0.2.1", "8.8.8.8", "10.1.2.3", "172.16.0.1", "192.168.1.77", "192.168.1.20", "192.168.1.255", "192.168.1.0",
	"192.168.2.1", "100.64.0.1",
	"198.18.0.1", "127.0.0.1", "127.255.0.1", "0.0.0.0", "0.1.2.3", "169.254.169.254", "224.0.0.1", "255.255.255.255",
	"240.0.0.1",
	"100.100.100.200", "168.63.129.16", "192.0.0.1", "::", "::1", "fe80::1%eth0", "fe80::1", "ff02::1", "2001:db8::1",
	"2001:0:1::1",
	"fd00:ec2::254", "fd20:ce::254", "fd00:c1::a9fe:a9fe", "fd00:42::42", "fec0::1", "fd12::1", "fd12::20", "fd99::1",
	"100::1", "64:ff9b:1::1",
}

// disguises are the ways to write an IPv4 address as an IPv6 address.
func disguises(v4 string) []string {
	b := netip.MustParseAddr(v4).As4()
	six := [16]byte{0x20, 0x02, b[0], b[1], b[2], b[3], 15: 1}
	out := []string{netip.AddrFrom16(six).String()}
	for _, prefix := range []string{"::", "::ffff:", "::ffff:0:", "64:ff9b::", "2001:db8::5efe:", "2001:db8::200:5efe:",
		"fd99::5efe:"} {
		out = append(out, prefix+v4)
	}
	return out
}

// TestDisguisedAddresses: an IPv4 address inside an IPv6 address is judged as what it is, under each rule.
func TestDisguisedAddresses(t *testing.T) {
	for _, address := range addresses {
		if a := netip.MustParseAddr(address); a.Is4() && a.String() != "0.0.0.0" {
			for _, disguise := range disguises(address) {
				for _, r := range rules() {
					if r.Check(a) != nil && r.Check(netip.MustParseAddr(disguise)) == nil {
						t.Errorf("%s is forbidden, %s is not, with %+v", address, disguise, r)
					}
				}
				if !MayAnswer(a, false) && MayAnswer(netip.MustParseAddr(disguise), false) {
					t.Errorf("%s may not be answered, %s may", address, disguise)
				}
			}
		}
	}
	if (Rule{Remotes: All, Loopback: true}).Check(netip.MustParseAddr("64:ff9b::127.0.0.1")) == nil {
		t.Error("loopback in disguise is not forbidden where loopback is allowed")
	}
	for _, open := range []string{"8.8.8.8", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2002:808:808::1", "2001:db8::1",
		"2001:db8::5efe:8.8.8.8"} {
		if err := (Rule{Remotes: Public}).Check(netip.MustParseAddr(open)); err != nil {
			t.Errorf("%s: %v", open, err)
		}
	}
}

// TestNamesFollowTheRule: names are of the local network, so they are not for Public.
func TestNamesFollowTheRule(t *testing.T) {
	c := Candidate{Name: "x.local", Port: 9, Type: "host"}
	for _, r := range rules() {
		if err := r.Judge(c); (err == nil) != (r.Names && r.Remotes != Public) {
			t.Errorf("%+v: %v", r, err)
		}
	}
}
