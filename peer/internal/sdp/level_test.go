package sdp

import "testing"

func TestWithLevel(t *testing.T) {
	for _, tt := range []struct{ name, line, want string }{
		{"asymmetry is allowed",
			"a=fmtp:102 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f\r\n",
			"a=fmtp:102 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e033\r\n"},
		{"capital letters", "a=fmtp:102 profile-level-id=64001F;level-asymmetry-allowed=1\r\n",
			"a=fmtp:102 profile-level-id=640033;level-asymmetry-allowed=1\r\n"},
		{"it is not", "a=fmtp:102 packetization-mode=1;profile-level-id=42e01f\r\n",
			"a=fmtp:102 packetization-mode=1;profile-level-id=42e01f\r\n"},
		{"another codec", "a=fmtp:96 max-fs=12288;max-fr=60\r\n", "a=fmtp:96 max-fs=12288;max-fr=60\r\n"},
		{"no format", "a=rtpmap:102 H264/90000\r\n", "a=rtpmap:102 H264/90000\r\n"},
	} {
		if got := WithLevel("v=0\r\n"+tt.line+"a=mid:0\r\n", "33"); got != "v=0\r\n"+tt.want+"a=mid:0\r\n" {
			t.Errorf("%s: %q", tt.name, got)
		}
	}
}
