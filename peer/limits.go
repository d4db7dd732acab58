package peer

import (
	"fmt"
	"strings"
)

// What a remote may send us. Pion has few limits of its own, and what a remote wrote is attacker text: it is checked before Pion sees it.
const (
	maxSDPBytes        = 32 << 10
	maxSDPLines        = 1000
	maxLineBytes       = 2048
	maxMediaSections   = 8
	maxSDPCandidates   = 32
	maxCandidates      = 64
	maxEarlyCandidates = 32
	maxCandidateBytes  = 1024
)

// CheckOffer says why an offer is none, or larger than any honest client's. It is cheap, and costs no connection.
func CheckOffer(sdp string) error { return checkSDP(sdp) }

// checkSDP refuses a session description that is none, or is larger than any honest client's.
func checkSDP(sdp string) error {
	if len(sdp) > maxSDPBytes {
		return fmt.Errorf("sdp of %d bytes; the limit is %d", len(sdp), maxSDPBytes)
	}
	if !strings.HasPrefix(sdp, "v=0") {
		return fmt.Errorf("not an sdp: it begins with %.20q, not with \"v=0\"", sdp)
	}
	var lines, sections, candidates int
	var ufrag, pwd, fingerprint bool
	for line := range strings.Lines(sdp) {
		lines++
		line = strings.TrimRight(line, "\r\n")
		if len(line) > maxLineBytes {
			return fmt.Errorf("sdp line %d has %d bytes; the limit is %d", lines, len(line), maxLineBytes)
		}
		switch {
		case strings.HasPrefix(line, "m="):
			sections++
		case strings.HasPrefix(line, "a=candidate:"):
			candidates++
		case strings.HasPrefix(line, "a=ice-ufrag:"):
			ufrag = true
			if err := checkICEChars(line[len("a=ice-ufrag:"):], 4); err != nil {
				return fmt.Errorf("sdp line %d: ice-ufrag %w", lines, err)
			}
		case strings.HasPrefix(line, "a=ice-pwd:"):
			pwd = true
			if err := checkICEChars(line[len("a=ice-pwd:"):], 22); err != nil {
				return fmt.Errorf("sdp line %d: ice-pwd %w", lines, err)
			}
		case strings.HasPrefix(line, "a=fingerprint:"):
			fingerprint = true
		}
	}
	switch {
	case lines > maxSDPLines:
		return fmt.Errorf("sdp of %d lines; the limit is %d", lines, maxSDPLines)
	case sections == 0:
		return fmt.Errorf("sdp without a media section")
	case sections > maxMediaSections:
		return fmt.Errorf("sdp with %d media sections; the limit is %d", sections, maxMediaSections)
	case candidates > maxSDPCandidates:
		return fmt.Errorf("sdp with %d candidates; the limit is %d", candidates, maxSDPCandidates)
	case !ufrag || !pwd:
		return fmt.Errorf("sdp without ice-ufrag and ice-pwd")
	case !fingerprint:
		return fmt.Errorf("sdp without a dtls fingerprint")
	}
	return nil
}

// checkICEChars holds RFC 8839 section 5.4: 4 to 256 ice-chars for the ufrag, 22 to 256 for the password.
func checkICEChars(s string, atLeast int) error {
	if len(s) < atLeast || len(s) > 256 {
		return fmt.Errorf("has %d characters; %d to 256 are allowed", len(s), atLeast)
	}
	for _, r := range s {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '+', r == '/':
		case r == '-', r == '_': // not in the RFC, but seen from real clients and harmless
		default:
			return fmt.Errorf("has the character %q", r)
		}
	}
	return nil
}
