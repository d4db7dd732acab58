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

// Refused reads a refusal: an answer that rejects every section of media. The reason is the session name, if there is
// one. A data channel may be left, over which the reason comes once more.
func (d *Description) Refused() (reason string, refused bool) {
	for i := range d.Sections {
		switch s := &d.Sections[i]; {
		case s.Media == "application":
		case s.Port != 0:
			return "", false
		default:
			refused = true
		}
	}
	return d.Name, refused
}
