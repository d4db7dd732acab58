package peer

import (
	"fmt"
	"strings"
)

// Refusal answers an offer with every media section rejected (port 0, RFC 3264 section 6): the viewer learns at once that there is
// nothing for it here, instead of waiting for an answer that never comes. KVS itself has no such message. The reason stands in
// the session name, for people who read it.
func Refusal(offer, reason string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "v=0\r\no=- 0 0 IN IP4 0.0.0.0\r\ns=%s\r\nt=0 0\r\n", sessionName(reason))
	inSection := false
	for line := range strings.Lines(offer) {
		line = strings.TrimRight(line, "\r\n")
		switch {
		case strings.HasPrefix(line, "m="):
			inSection = true
			fields := strings.Fields(line)
			if len(fields) > 1 {
				fields[1] = "0"
			}
			fmt.Fprintf(&b, "%s\r\nc=IN IP4 0.0.0.0\r\na=inactive\r\n", strings.Join(fields, " "))
		case inSection && strings.HasPrefix(line, "a=mid:"):
			fmt.Fprintf(&b, "%s\r\n", line)
		}
	}
	return b.String()
}

func sessionName(reason string) string {
	name := strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return -1
		}
		return r
	}, reason)
	if name == "" {
		return "-"
	}
	return name
}
