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
	format := "" // the one format that a rejected section still has to name (RFC 8866 section 5.14)
	for line := range strings.Lines(offer) {
		line = strings.TrimRight(line, "\r\n")
		switch {
		case strings.HasPrefix(line, "m="):
			fields := strings.Fields(line)
			if len(fields) < 4 {
				return "" // not an offer that anybody can answer
			}
			format = fields[3]
			fmt.Fprintf(&b, "%s 0 %s %s\r\nc=IN IP4 0.0.0.0\r\na=inactive\r\n", fields[0], fields[2], format)
		case format != "" && (strings.HasPrefix(line, "a=mid:") || strings.HasPrefix(line, "a=rtpmap:"+format+" ")):
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

// refusedBy reads a refusal: an answer that rejects every section of media. The reason is the session name, if there is one. A data channel may be left, over
// which the reason comes once more.
func refusedBy(answer string) (reason string, refused bool) {
	for line := range strings.Lines(answer) {
		line = strings.TrimRight(line, "\r\n")
		if name, ok := strings.CutPrefix(line, "s="); ok && name != "-" {
			reason = name
		}
		if fields := strings.Fields(line); strings.HasPrefix(line, "m=") && !strings.HasPrefix(line, "m=application ") && len(fields) > 1 {
			if fields[1] != "0" {
				return "", false
			}
			refused = true
		}
	}
	return reason, refused
}
