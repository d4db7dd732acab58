package sdp

import (
	"slices"
	"strings"
)

// Marshal writes the description anew, in the order of RFC 8866 section 5 and with a carriage return and a line feed at
// each line's end. The origin, the session's name, ports and connection addresses are ours: those of the remote
// have no reader.
//
// ICE credentials stand in each section, where the section's own override the session's (RFC 8839 section 5.4),
// and candidates have one form.
func (d *Description) Marshal() string {
	b := make([]byte, 0, d.size+d.size/8+256)
	b = append(b, "v=0\r\no=- 0 0 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n"...)
	for _, a := range d.attributes {
		if a.key != "group" || d.bundles(a.value) {
			b = a.append(b)
		}
	}
	for i := range d.Sections {
		b = d.Sections[i].append(b, &d.scope)
	}
	return string(b)
}

// bundle lists the mids that share one transport (RFC 9143), the one that carries it first; nil when there is no such
// group. Groups of other kinds, such as LS, say nothing of transports.
func (d *Description) bundle() []string {
	for _, a := range d.attributes {
		if f := words(a.value, -1); a.key == "group" && len(f) > 0 && f[0] == "BUNDLE" {
			return f[1:]
		}
	}
	return nil
}

// bundles says whether a group is a bundle that names, first of all, a section that there is. Pion looks for ICE
// credentials in that section and in no other.
func (d *Description) bundles(group string) bool {
	f := words(group, -1)
	return len(f) > 1 && f[0] == "BUNDLE" &&
		slices.ContainsFunc(d.Sections, func(s Section) bool { return s.Mid == f[1] })
}

func (s *Section) append(b []byte, session *scope) []byte {
	port := " 9 "
	if s.Port == 0 {
		port = " 0 "
	}
	b = append(append(append(append(b, "m="...), s.Media...), port...), s.Proto...)
	for _, f := range s.Formats {
		b = append(append(b, ' '), f...)
	}
	b = append(b, "\r\nc=IN IP4 0.0.0.0\r\n"...)
	ufrag, pwd := s.ufrag, s.pwd
	if ufrag == "" {
		ufrag, pwd = session.ufrag, session.pwd
	}
	for _, a := range []attribute{{"mid", s.Mid}, {"ice-ufrag", ufrag}, {"ice-pwd", pwd}} {
		if a.value != "" {
			b = a.append(b)
		}
	}
	for _, a := range s.attributes {
		b = a.append(b)
	}
	for _, c := range s.Candidates {
		b = append(append(append(b, "a="...), c.String()...), "\r\n"...)
	}
	return b
}

func (a attribute) append(b []byte) []byte {
	b = append(append(b, "a="...), a.key...)
	if a.value != "" {
		b = append(append(b, ':'), a.value...)
	}
	return append(b, "\r\n"...)
}

// Judged is the description without the candidates that a rule forbids.
func (d *Description) Judged(r Rule) *Description {
	out := *d
	out.Sections = slices.Clone(d.Sections)
	for i := range out.Sections {
		s := &out.Sections[i]
		s.Candidates = slices.DeleteFunc(slices.Clone(s.Candidates),
			func(c Candidate) bool { return r.Judge(c) != nil })
	}
	return &out
}

// WithMids gives each section of a description of ours that has no mid that of the remote's section (RFC 8829 section
// 5.3.1): Pion leaves it out where it rejects, and stumbles over that when it is to offer later.
func WithMids(ours string, mids []string) string {
	var b strings.Builder
	section, own := -1, midsOf(ours)
	for line := range strings.Lines(ours) {
		b.WriteString(line)
		if !strings.HasPrefix(line, "m=") {
			continue
		}
		if section++; section < len(mids) && own[section] == "" && mids[section] != "" {
			b.WriteString("a=mid:" + mids[section] + "\r\n")
		}
	}
	return b.String()
}

// midsOf lists the mids of a text of ours.
func midsOf(ours string) (out []string) {
	for line := range strings.Lines(ours) {
		switch {
		case strings.HasPrefix(line, "m="):
			out = append(out, "")
		case strings.HasPrefix(line, "a=mid:") && len(out) > 0:
			out[len(out)-1] = strings.TrimSpace(line[len("a=mid:"):])
		}
	}
	return out
}
