package sdp

import (
	"regexp"
	"strings"
)

var h264Format = regexp.MustCompile(`(?i)(profile-level-id=[0-9a-f]{4})[0-9a-f]{2}`)

// WithLevel tells an H.264 level, 2 hex digits, in an answer. The level of what one side sends may differ from what it
// receives where both allow that (RFC 6184 section 8.2.2, level-asymmetry-allowed); elsewhere the offer's stands.
func WithLevel(answer, level string) string {
	lines := strings.SplitAfter(answer, "\n")
	for i, line := range lines {
		if strings.HasPrefix(line, "a=fmtp:") && strings.Contains(line, "level-asymmetry-allowed=1") {
			lines[i] = h264Format.ReplaceAllString(line, "${1}"+level)
		}
	}
	return strings.Join(lines, "")
}
