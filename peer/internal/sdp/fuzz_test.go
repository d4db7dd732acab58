package sdp

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/pion/ice/v4"
	pionsdp "github.com/pion/sdp/v3"
)

// hidden are candidates that a reader may see in places where another does not.
func hidden() []string {
	out := []string{
		"candidate:1 1 udp 1 10.9.8.7 80 typ host",
		"candidate:1 1 udp\v1\v8.8.8.8\v80\vtyp\vhost 2130706431 10.9.8.7 22 typ host",
		"candidate:1 1 udp\t1\t8.8.8.8\t80\ttyp\thost 2130706431 192.168.1.255 9 typ host",
		"candidate:1 1 udp\u00a01\u00a08.8.8.8\u00a080\u00a0typ\u00a0host 1 127.0.0.1 9 typ host",
		"candidate:1 1 UDP 1 192.0.2.1 9 typ srflx raddr 127.0.0.1 rport 9 generation 0 ufrag abcd network-cost 10",
		"candidate: 1 udp 1 192.0.2.1 9 typ host",
		"candidate:1 1 tcp 1 192.0.2.1 9 typ host tcptype passive",
		"candidate:1  1 udp 1 192.0.2.1 9 typ host",
		"candidate:1 1 udp 1 0x7f.1 9 typ host", "candidate:1 1 udp 1 2130706433 9 typ host",
		"candidate:1 1 udp 1 0177.0.0.1 9 typ host",
		"candidate:1 1 udp 1 localhost 9 typ host", "candidate:1 1 udp 1 x.local 9 typ host",
	}
	for _, a := range addresses {
		out = append(out, "candidate:1 1 udp 2130706431 "+a+" 5000 typ host")
		if v4 := netip.MustParseAddr(a); v4.Is4() {
			for _, d := range disguises(a) {
				out = append(out, "candidate:1 1 udp 2130706431 "+d+" 5000 typ relay raddr 0.0.0.0 rport 0")
			}
		}
	}
	return out
}

// FuzzCandidate holds the rules against net/netip, and our reading of a candidate against Pion's of what we write: both
// must see one address.
func FuzzCandidate(f *testing.F) {
	for _, line := range hidden() {
		f.Add(line)
	}
	all := rules()
	f.Fuzz(func(t *testing.T, line string) {
		for _, word := range strings.Fields(line) {
			if a, err := netip.ParseAddr(word); err == nil && MayAnswer(a, false) == denied(a) {
				t.Fatalf("%v: MayAnswer says %v, net/netip says %v", a, MayAnswer(a, false), !denied(a))
			}
		}
		c, err := ParseCandidate(line)
		if err != nil {
			return
		}
		p := comparePion(t, c)
		for _, r := range all {
			if r.Judge(c) == nil {
				mayHold(t, p, r)
			}
		}
	})
}

// mayHold wants a candidate that Pion holds to be one that a rule allows.
func mayHold(t *testing.T, p ice.Candidate, r Rule) {
	t.Helper()
	if p.NetworkType().IsTCP() {
		t.Fatalf("Pion holds %v", p)
	}
	if strings.HasSuffix(p.Address(), ".local") && r.Names && r.Remotes != Public {
		return
	}
	if a, err := netip.ParseAddr(p.Address()); err != nil || deniedBy(a, r) {
		t.Fatalf("Pion holds %v, which %+v forbids (%v)", p, r, err)
	}
}

// FuzzDescription gives Pion's parser what we write of any text, by each rule: the candidates that it finds, wherever
// they stand, are those that we allowed, and credentials, formats and mids are those that we read.
func FuzzDescription(f *testing.F) {
	for _, text := range written(f) {
		f.Add(text)
	}
	f.Add(goodSDP)
	f.Add(strings.ReplaceAll(goodSDP, "\r\n", "\n"))
	for _, line := range hidden() {
		f.Add(strings.Replace(goodSDP, "a=ice-ufrag", "a="+line+"\r\na=ice-ufrag", 1))
		f.Add(strings.Replace(goodSDP, "a=ice-ufrag", "\ra="+line+"\r\na=ice-ufrag", 1))
		f.Add(strings.Replace(goodSDP, "t=0 0", "a="+line+"\r\nt=0 0", 1))
		f.Add(strings.Replace(goodSDP, "s=-", "s=\u2028a="+line, 1))
	}
	all := rules()
	f.Fuzz(func(t *testing.T, text string) {
		d, err := Parse(text, Limits{})
		if err != nil {
			return
		}
		for kind, codecs := range d.Codecs() {
			Match("H264", "42e0", codecs)
			if strings.ContainsAny(kind+Names(codecs), "\r\n\x00") {
				t.Fatalf("a control character in %q", Names(codecs))
			}
		}
		if refusal := d.Refusal("no"); len(refusal) > 2*len(text)+1000 {
			t.Fatalf("a refusal of %d bytes for %d", len(refusal), len(text))
		}
		for _, r := range all {
			sameForPion(t, d.Judged(r), r)
		}
	})
}

func sameForPion(t *testing.T, d *Description, r Rule) {
	out := d.Marshal()
	again, err := Parse(out, Limits{Bytes: len(out)})
	if err != nil || again.Marshal() != out {
		t.Fatalf("what we wrote is read otherwise (%v):\n%s", err, out)
	}
	var p pionsdp.SessionDescription
	if err := p.UnmarshalString(out); err != nil {
		return // a kind or protocol that Pion does not know: it holds nothing then
	}
	if len(p.MediaDescriptions) != len(d.Sections) {
		t.Fatalf("%d sections, Pion reads %d:\n%s", len(d.Sections), len(p.MediaDescriptions), out)
	}
	for _, a := range p.Attributes {
		if a.IsICECandidate() || a.Key == "ice-ufrag" || a.Key == "ice-pwd" {
			t.Fatalf("Pion reads %v in the session:\n%s", a, out)
		}
	}
	for i, m := range p.MediaDescriptions {
		s := &d.Sections[i]
		if m.MediaName.Media != s.Media || !slices.Equal(m.MediaName.Formats, s.Formats) ||
			m.ConnectionInformation.Address.Address != "0.0.0.0" {
			t.Fatalf("section %d is %v, Pion reads %v", i, s, m.MediaName)
		}
		var found []string
		for _, a := range m.Attributes {
			if !a.IsICECandidate() {
				continue
			}
			c, err := ice.UnmarshalCandidate(a.Value)
			if err != nil {
				t.Fatalf("Pion does not read %q: %v", a.Value, err)
			}
			mayHold(t, c, r)
			found = append(found, "candidate:"+a.Value)
		}
		var allowed []string
		for _, c := range s.Candidates {
			allowed = append(allowed, c.String())
		}
		if !slices.Equal(found, allowed) {
			t.Fatalf("Pion finds %v, allowed were %v", found, allowed)
		}
		if mid, _ := m.Attribute("mid"); mid != s.Mid {
			t.Fatalf("Pion reads mid %q, we read %q", mid, s.Mid)
		}
		if ufrag, ok := m.Attribute("ice-ufrag"); ok && (CheckICEChars(ufrag, 4) != nil || !d.Identity().Has(ufrag)) {
			t.Fatalf("Pion reads the ufrag %q", ufrag)
		}
		if pwd, ok := m.Attribute("ice-pwd"); ok && CheckICEChars(pwd, 22) != nil {
			t.Fatalf("Pion reads the password %q", pwd)
		}
	}
}
