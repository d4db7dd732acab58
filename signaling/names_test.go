package signaling

import (
	"strings"
	"testing"
)

func TestNames(t *testing.T) {
	long := strings.Repeat("a", 256)
	for _, tt := range []struct {
		name      string
		is        func(string) bool
		good, bad []string
	}{
		{"id", isID, []string{"a", "Cam_1.x-y", long}, []string{"", long + "a", "a b", "ä", "a/b", "a\n"}},
		{"reserved", isReserved, []string{"AWS_", "aws_x", "aWs_1"}, []string{"", "AWS", "AWSX", "xAWS_"}},
		{"region", isRegion, []string{"eu-central-1", "us-gov-west-1", "x-1"},
			[]string{"", "eu", "-", "eu-", "-eu", "eu--1", "EU-central-1", "eu-central-1.evil.test/"}},
		{"ice url", isICEURL,
			[]string{"turn:34-1-2-3.t-1a2b.kinesisvideo.us-west-2.amazonaws.com:443?transport=udp",
				"turns:h:443?transport=tcp", "stun:192.0.2.1", "stuns:h:5349", "turn:" + long[:253]},
			[]string{"", "turn", "turn:", "turn::443", "turn:h:", "turn:h:123456", "turn:h:4a", "turn:h:1:2", "turn:h?",
				"turn:h?transport=sctp", "turn:h?transport=udp&x", "http:h", "TURN:h",
				"turn:a b", "turn:u@h", "turn://h", "turn:" + long[:254], "turn:h\n"}},
	} {
		for _, s := range tt.good {
			if !tt.is(s) {
				t.Errorf("%s: %q is refused", tt.name, s)
			}
		}
		for _, s := range tt.bad {
			if tt.is(s) {
				t.Errorf("%s: %q is taken", tt.name, s)
			}
		}
	}
}
