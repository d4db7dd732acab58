package peer

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/pion/ice/v4"
	"github.com/pion/webrtc/v4"
)

// TestCandidateIsReadOnce: what separates fields for us separates them for Pion, so that no address can stand where only one of us looks.
func TestCandidateIsReadOnce(t *testing.T) {
	r := rule{remotes: Public, networks: []netip.Prefix{netip.MustParsePrefix("192.168.1.20/24")}}
	for _, separator := range []string{"\v", "\t", "\f", "\r", "\n", "\x00", "\u0085", "\u00a0", "\u2000", "\u2028", "\u3000"} {
		line := strings.ReplaceAll("candidate:1 1 udp_1_8.8.8.8_80_typ_host 2130706431 10.9.8.7 22 typ host", "_", separator)
		if checkCandidate(line, r) == nil {
			c, err := ice.UnmarshalCandidate(line)
			t.Errorf("%q was let through; Pion reads %v (%v)", line, c, err)
		}
	}
}

// TestControlCharactersAreRefused: Pion ends a line at a carriage return, so a line of its own can stand behind one.
func TestControlCharactersAreRefused(t *testing.T) {
	for _, c := range []string{"\r", "\x00", "\v", "\f", "\t", "\x7f", "\u0085", "\u2028", "\u2029", "\xff"} {
		sdp := strings.Replace(crlf(goodSDP), "a=ice-ufrag", c+"a=candidate:1 1 udp 2130706431 10.9.8.7 22 typ host\r\na=ice-ufrag", 1)
		err := (Limits{}).filled().checkSDP(sdp)
		if err == nil || !strings.Contains(err.Error(), "sdp line 7 has the control character") {
			t.Errorf("%q: %v", c, err)
		}
		d := webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: withoutForbidden(sdp, rule{remotes: Public})}
		if p, perr := d.Unmarshal(); err == nil && perr == nil {
			for _, a := range p.MediaDescriptions[0].Attributes {
				if a.IsICECandidate() {
					t.Errorf("%q: Pion reads %q", c, a.Value)
				}
			}
		}
	}
	if err := (Limits{}).filled().checkSDP(strings.Replace(goodSDP, "s=-", "s=Küche", 1)); err != nil {
		t.Errorf("a name that is not ASCII: %v", err)
	}
}

// TestDisguisedAddresses: an IPv4 address inside an IPv6 address is judged as what it is.
func TestDisguisedAddresses(t *testing.T) {
	for _, inner := range []string{"127.0.0.1", "169.254.169.254", "224.0.0.1", "10.9.8.7", "192.168.1.255", "8.8.8.8"} {
		v4 := netip.MustParseAddr(inner)
		r := rule{remotes: Public, networks: []netip.Prefix{netip.MustParsePrefix("192.168.1.20/24")}}
		for _, prefix := range []string{"::ffff:", "::ffff:0:", "::", "64:ff9b::"} {
			a := netip.MustParseAddr(prefix + inner)
			if (r.check(a) == nil) != (r.check(v4) == nil) {
				t.Errorf("%v: %v; %v: %v", a, r.check(a), v4, r.check(v4))
			}
		}
	}
}
