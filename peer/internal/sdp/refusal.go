package sdp

import (
	"fmt"
	"strings"
)

// Refusal answers an offer with every media section rejected (port 0, RFC 3264 section 6). The reason stands in the
// session name, for people who read it.
func (d *Description) Refusal(reason string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "v=0\r\no=- 0 0 IN IP4 0.0.0.0\r\ns=%s\r\nt=0 0\r\n", SessionName(reason))
	if d.bundle() != nil {
		b.WriteString("a=group:BUNDLE\r\n") // of no section; a browser of max-bundle insists on one
	}
	for i := range d.Sections {
		s := &d.Sections[i]
		format := s.Formats[0] // the one that a rejected section still has to name (RFC 8866 section 5.14)
		fmt.Fprintf(&b, "m=%s 0 %s %s\r\nc=IN IP4 0.0.0.0\r\na=inactive\r\n", s.Media, s.Proto, format)
		if s.Mid != "" {
			fmt.Fprintf(&b, "a=mid:%s\r\n", s.Mid)
		}
		for _, a := range s.attributes {
			if a.key == "rtpmap" && strings.HasPrefix(a.value, format+" ") {
				fmt.Fprintf(&b, "a=rtpmap:%s\r\n", a.value)
			}
		}
	}
	return b.String()
}

// CarryData opens, in an answer of Pion's that takes the data channel alone, the first section of the offer's bundle,
// without media: a browser of max-bundle takes no other transport than that section's. at is the index of that section,
// and negative when the answer is left as it is.
func (d *Description) CarryData(answer string) (out, mid string, at int) {
	bundle := d.bundle()
	sections := strings.Split(answer, "\nm=")
	data := sections[len(sections)-1]
	if len(bundle) == 0 || !strings.HasPrefix(data, "application 9 ") {
		return answer, "", -1
	}
	at = -1
	for i := range d.Sections {
		s := &d.Sections[i]
		if s.Mid != bundle[0] || !s.media() || i+1 >= len(sections)-1 {
			continue
		}
		text := s.Media + " 9 " + s.Proto + " " + s.Formats[0] + "\r\nc=IN IP4 0.0.0.0\r\n"
		for _, name := range []string{"setup", "ice-ufrag", "ice-pwd"} {
			text += "a=" + name + ":" + lineOf(data, "a="+name+":") + "\r\n"
		}
		text += "a=mid:" + s.Mid + "\r\na=rtcp-mux\r\n"
		for _, a := range s.attributes {
			if pt, _, _ := strings.Cut(a.value, " "); (a.key == "rtpmap" || a.key == "fmtp") && pt == s.Formats[0] {
				text += "a=" + a.key + ":" + a.value + "\r\n"
			}
		}
		sections[i+1] = text + "a=inactive\r"
		mid, at = s.Mid, i
		sections[0] = strings.Replace(sections[0], "\na=group:BUNDLE ", "\na=group:BUNDLE "+s.Mid+" ", 1)
	}
	return strings.Join(sections, "\nm="), mid, at
}

// SessionName is text as an s= line may have it; "-" for nothing (RFC 8866 section 5.3).
func SessionName(text string) string {
	name := strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return -1
		}
		return r
	}, text)
	if name == "" {
		return "-"
	}
	return name
}

// Refused reads a refusal: an answer that rejects every section of media, or makes it inactive and has a reason. The
// reason is the session name, if there is one. A data channel may be left, over which the reason comes once more.
func (d *Description) Refused() (reason string, refused bool) {
	for i := range d.Sections {
		switch s := &d.Sections[i]; {
		case s.Media == "application":
		case s.Port != 0 && (d.Name == "" || d.direction(s) != Direction{}):
			return "", false
		default:
			refused = true
		}
	}
	return d.Name, refused
}
