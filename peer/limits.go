package peer

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits is what one remote may send. Pion has few limits of its own, and what a remote wrote is attacker text: it is checked before Pion
// sees it. A field that is 0 has its default.
type Limits struct {
	SDP             int // bytes of a session description; default 32 KiB
	MediaSections   int // of a session description; default 8
	Candidates      int // until the remote's ICE credentials change; default 64
	EarlyCandidates int // that come before the description they belong to; default 32

	Streams     int // RTP streams (SSRCs); default 8
	Bitrate     int // bit/s of media that we did not ask for, over 5 s; default 256,000
	RTCP        int // RTCP packets a second, over 10 s; default 100
	KeyRequests int // requests for a key frame a second, over 10 s; default 50

	Channels     int // data channels that the remote opens; default 4: clients open one by habit, and nobody needs more
	Message      int // bytes of a message; default 16 KiB
	Messages     int // a second; default 100
	MessageBytes int // a second; default 256 KiB
}

// What nobody has a reason to turn: it follows from the length of a description.
const (
	maxSDPLines       = 1000
	maxLineBytes      = 2048
	maxSDPCandidates  = 32
	maxCandidateBytes = 1024
)

// filled is limits with the defaults in place.
func (l Limits) filled() Limits {
	for _, d := range []struct {
		field *int
		value int
	}{
		{&l.SDP, 32 << 10}, {&l.MediaSections, 8}, {&l.Candidates, 64}, {&l.EarlyCandidates, 32},
		{&l.Streams, 8}, {&l.Bitrate, 256_000}, {&l.RTCP, 400}, {&l.KeyRequests, 50},
		{&l.Channels, 4}, {&l.Message, 16 << 10}, {&l.Messages, 100}, {&l.MessageBytes, 256 << 10},
	} {
		if *d.field == 0 {
			*d.field = d.value
		}
	}
	return l
}

// CheckOffer says why an offer is none, or larger than any honest client's. It is cheap, and costs no connection.
func (e *Engine) CheckOffer(sdp string) error { return e.o.Limits.checkSDP(sdp) }

// checkSDP refuses a session description that is none, or is larger than any honest client's.
func (l Limits) checkSDP(sdp string) error {
	if len(sdp) > l.SDP {
		return fmt.Errorf("sdp of %d bytes; the limit is %d", len(sdp), l.SDP)
	}
	if !strings.HasPrefix(sdp, "v=0") {
		return fmt.Errorf("not an sdp: it begins with %.20q, not with \"v=0\"", sdp)
	}
	var lines, sections, candidates int
	var ufrag, pwd, fingerprint bool
	for line := range strings.Lines(sdp) {
		lines++
		line = strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r")
		if r, found := controlIn(line); found {
			return fmt.Errorf("sdp line %d has the control character %U", lines, r)
		}
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
	case sections > l.MediaSections:
		return fmt.Errorf("sdp with %d media sections; the limit is %d", sections, l.MediaSections)
	case candidates > maxSDPCandidates:
		return fmt.Errorf("sdp with %d candidates; the limit is %d", candidates, maxSDPCandidates)
	case !ufrag || !pwd:
		return fmt.Errorf("sdp without ice-ufrag and ice-pwd")
	case !fingerprint:
		return fmt.Errorf("sdp without a dtls fingerprint")
	}
	return nil
}

// controlIn finds a character that ends or hides text for one reader and not for another: Pion ends a line at a carriage return as well.
func controlIn(line string) (rune, bool) {
	for _, r := range line {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' || r == utf8.RuneError {
			return r, true
		}
	}
	return 0, false
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
