package sdp

import (
	"strings"
	"testing"

	"github.com/kvsagent/kvsagent/media"
)

func TestH264Choice(t *testing.T) {
	fmtp := func(profile string) string {
		return "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=" + profile
	}
	chromium := []Codec{
		{"H264", fmtp("42001f")}, {"H264", strings.Replace(fmtp("42001f"), "mode=1", "mode=0", 1)},
		{"H264", fmtp("42e01f")},
		{"H264", fmtp("4d001f")}, {"H264", fmtp("f4001f")}, {"VP8", ""},
	}
	for _, tt := range []struct{ name, profile, want string }{
		{"constrained baseline", "42e0", "42e01f"},
		{"baseline", "4200", "42001f"},
		{"baseline with other flags", "42c0", "42001f"},
		{"main", "4d00", "4d001f"},
		{"high, which Chromium plays and does not offer", "6400", "4d001f"},
	} {
		got, ok := Match(media.H264, tt.profile, chromium)
		if !ok || FmtpValue(got.Fmtp, "profile-level-id") != tt.want {
			t.Errorf("%s: %v %q, want %s", tt.name, ok, got.Fmtp, tt.want)
		}
	}
	mode := func(n, profile string) Codec {
		return Codec{"H264", "packetization-mode=" + n + ";profile-level-id=" + profile}
	}
	for _, tt := range []struct {
		name    string
		offered []Codec
		want    string // profile; "" for no match
	}{
		{"mode 0 alone", []Codec{{"VP8", ""}, mode("0", "42e01f")}, "42e01f"},
		{"mode 0 of the right profile, mode 1 of another", []Codec{mode("0", "42e01f"), mode("1", "640028")}, "640028"},
		{"interleaved", []Codec{{"VP8", ""}, mode("2", "42e01f")}, ""},
	} {
		got, ok := Match(media.H264, "42e0", tt.offered)
		if ok != (tt.want != "") || FmtpValue(got.Fmtp, "profile-level-id") != tt.want {
			t.Errorf("%s: %v %q, want %q", tt.name, ok, got.Fmtp, tt.want)
		}
	}
}

// TestCodecs: formats keep the remote's order, static payload types need no rtpmap, and what has no name is left out.
func TestCodecs(t *testing.T) {
	d := mustParse(t,
		goodSDP+"m=audio 9 UDP/TLS/RTP/SAVPF 111 0 8 77 9\r\na=rtpmap:9 g722/8000\r\na=rtpmap:111 "+
			"OPUS/48000/2\r\na=fmtp:111  useinbandfec=1\r\n")
	got := d.Codecs()["audio"]
	want := []Codec{{media.Opus, "useinbandfec=1"}, {media.PCMU, ""}, {media.PCMA, ""}, {"g722", ""}}
	if len(got) != len(want) {
		t.Fatalf("Codecs = %v, want %v", got, want)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("codec %d is %v, want %v", i, got[i], want[i])
		}
	}
	if n := d.Negotiated(); len(n) != 2 || n[0] != media.H264 || n[1] != media.Opus {
		t.Errorf("Negotiated = %v", n)
	}
}
