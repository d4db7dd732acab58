package sdp

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/kvsagent/kvsagent/media"
	pionsdp "github.com/pion/sdp/v3"
)

const goodSDP = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 " +
	"0.0.0.0\r\n" +
	"a=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuvwx\r\na=fingerprint:sha-256 AB:CD\r\na=rtpmap:96 " +
	"H264/90000\r\na=mid:0\r\n"

// written are descriptions of real clients, with the line ends of SDP.
func written(t testing.TB) []string {
	t.Helper()
	var out []string
	for _, pattern := range []string{"../../testdata/*.sdp", "../../testdata/answers/*.sdp", "testdata/*.sdp"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatal("no descriptions:", pattern, err)
		}
		for _, file := range files {
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, crlf(string(b)))
		}
	}
	return out
}

func crlf(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\n", "\r\n")
}

func mustParse(t testing.TB, text string) *Description {
	t.Helper()
	d, err := Parse(text, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestControlCharactersAreRefused: Pion ends a line at a carriage return, so a line of its own can stand behind one.
func TestControlCharactersAreRefused(t *testing.T) {
	const evil = "a=candidate:1 1 udp 2130706431 10.9.8.7 22 typ host"
	for _, c := range []string{"\r", "\x00", "\v", "\f", "\t", "\x1b", "\x7f", "\u0085", "\u2028", "\u2029"} {
		for name, text := range map[string]string{
			"at the start of a line": strings.Replace(goodSDP, "a=ice-ufrag", c+evil+"\r\na=ice-ufrag", 1),
			"inside a line":          strings.Replace(goodSDP, "a=ice-ufrag", "a=x:"+c+evil+"\r\na=ice-ufrag", 1),
			"at the end of a line":   strings.Replace(goodSDP, "a=ice-ufrag", "a=x"+c+"\r\na=ice-ufrag", 1),
			"with a bare line feed": strings.ReplaceAll(strings.Replace(goodSDP, "a=ice-ufrag",
				"a=x"+c+evil+"\r\na=ice-ufrag", 1), "\r\n", "\n"),
		} {
			_, err := Parse(text, Limits{})
			if err == nil || !strings.Contains(err.Error(), "sdp line 7 has the control character U+") {
				t.Errorf("%q %s: %v, want an error that names line 7", c, name, err)
			}
		}
	}
	if _, err := Parse(goodSDP+"a=x:\xff\r\n", Limits{}); err == nil ||
		!strings.Contains(err.Error(), "line 12 is not UTF-8") {
		t.Errorf("not UTF-8: %v", err)
	}
}

// TestParseIsTolerant: what clients in the field write is read as if it were written well.
func TestParseIsTolerant(t *testing.T) {
	want := mustParse(t, goodSDP).Marshal()
	for name, text := range map[string]string{
		"bare line feeds":             strings.ReplaceAll(goodSDP, "\r\n", "\n"),
		"no newline at the end":       strings.TrimSuffix(goodSDP, "\r\n"),
		"byte order mark":             "\ufeff" + goodSDP,
		"blank lines before":          "\r\n\n" + goodSDP,
		"blank lines inside":          strings.ReplaceAll(goodSDP, "\r\n", "\r\n\r\n"),
		"connection after the time":   strings.Replace(goodSDP, "t=0 0\r\n", "t=0 0\r\nc=IN IP4 127.0.0.1\r\n", 1),
		"no time":                     strings.Replace(goodSDP, "t=0 0\r\n", "", 1),
		"no origin":                   strings.Replace(goodSDP, "o=- 1 1 IN IP4 127.0.0.1\r\n", "", 1),
		"a number too long in origin": strings.Replace(goodSDP, "o=- 1 1", "o=- 99999999999999999999999999 1", 1),
		"a name that is not ASCII":    strings.Replace(goodSDP, "s=-", "s=Küche 🐈", 1),
		"unknown lines":               strings.Replace(goodSDP, "a=mid:0", "y=1\r\nqq\r\n=\r\na=mid:0", 1),
		"bandwidth of its own": strings.Replace(goodSDP, "c=IN IP4 0.0.0.0\r\n",
			"b=FOO:1:2\r\nc=IN IP4 0.0.0.0\r\n", 1),
		"odd connection":         strings.Replace(goodSDP, "c=IN IP4 0.0.0.0\r\n", "c=IN\r\n", 1),
		"spaces at a line's end": strings.ReplaceAll(goodSDP, "\r\na=", " \r\na="),
		"two spaces in m=":       strings.Replace(goodSDP, "video 9", "video  9", 1),
		"credentials of the session": strings.NewReplacer("a=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuvwx\r\n",
			"",
			"t=0 0\r\n", "t=0 0\r\na=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuvwx\r\n").Replace(goodSDP),
		"a bundle of nothing": strings.Replace(goodSDP, "t=0 0\r\n", "t=0 0\r\na=group:BUNDLE\r\n",
			1),
		"an attribute that is not to be printed": strings.Replace(goodSDP, "a=mid:0",
			"a=x:\u00a0\r\na=y:\u202e\r\na=\u00e9:1\r\na=mid:0", 1),
	} {
		d, err := Parse(text, Limits{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := d.Marshal(); got != want {
			t.Errorf("%s: written anew:\n%s\nwant\n%s", name, got, want)
		}
		if err := d.Connectable(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	d := mustParse(t, strings.Replace(goodSDP, "a=mid:0", "a=label:Tür\r\na=mid:0", 1))
	if !strings.Contains(d.Marshal(), "a=label:Tür\r\n") {
		t.Error("a label that is not ASCII was left out")
	}
}

// TestMarshalWritesNoAddressOfTheRemote: in lines where Pion needs none.
func TestMarshalWritesNoAddressOfTheRemote(t *testing.T) {
	const victim = "10.9.8.7"
	text := strings.ReplaceAll(strings.ReplaceAll(goodSDP, "127.0.0.1", victim), "0.0.0.0", victim)
	text = strings.Replace(text, "t=0 0\r\n", "t=0 0\r\na=candidate:1 1 udp 1 "+victim+" 22 typ host\r\n", 1)
	text += "a=remote-candidates:1 " + victim + " 22\r\na=rtcp:22 IN IP4 " + victim + "\r\ni=" + victim +
		"\r\nu=http://" + victim + "/\r\n" +
		"a=candidate:1 1 udp 1 8.8.8.8 9 typ srflx raddr " + victim + " rport 22\r\n"
	out := mustParse(t, text).Marshal()
	if strings.Contains(out, victim) || !strings.Contains(out, "a=candidate:1 1 udp 1 8.8.8.8 9 typ srflx\r\n") {
		t.Errorf("written anew:\n%s", out)
	}
}

// TestFirstCredentialsCount: what was checked is what is written, and a section's own override the session's.
func TestFirstCredentialsCount(t *testing.T) {
	text := strings.Replace(goodSDP, "t=0 0\r\n",
		"t=0 0\r\na=ice-ufrag:session\r\na=ice-pwd:sessionsessionsessionsession\r\n", 1)
	text += "a=ice-ufrag:other\r\na=mid:7\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:1\r\n"
	out := mustParse(t, text).Marshal()
	if strings.Contains(out, "other") || strings.Contains(out, "mid:7") {
		t.Errorf("a second one was written:\n%s", out)
	}
	if strings.Count(out, "a=ice-ufrag:abcd\r\n") != 1 || strings.Count(out, "a=ice-ufrag:session\r\n") != 1 {
		t.Errorf("a section has not the credentials that are its:\n%s", out)
	}
	if head, _, _ := strings.Cut(out, "m="); strings.Contains(head, "ice-") {
		t.Errorf("credentials of the session, which Pion prefers, are left:\n%s", out)
	}
	id := mustParse(t, text).Identity()
	if !id.Has("abcd") || !id.Has("session") || id.Has("other") {
		t.Errorf("identity %+v", id)
	}
}

// TestJudged takes out what the rule forbids, and leaves the description that it was asked of as it is.
func TestJudged(t *testing.T) {
	d := mustParse(t,
		goodSDP+"a=candidate:1 1 udp 1 10.9.8.7 9 typ host\r\na=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\n")
	public := d.Judged(Rule{Remotes: Public})
	if c := public.Sections[0].Candidates; len(c) != 1 || c[0].Address.String() != "192.0.2.1" {
		t.Errorf("left are %v", c)
	}
	if c := d.Sections[0].Candidates; len(c) != 2 || c[0].Address.String() != "10.9.8.7" {
		t.Errorf("the description itself has %v", c)
	}
}

func TestLimits(t *testing.T) {
	few := strings.Repeat("a=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\n", MaxCandidates)
	for _, tt := range []struct{ name, text, want string }{
		{"candidates", goodSDP + few, ""},
		{"candidates of no use", goodSDP + few + strings.Repeat("a=candidate:1 2 udp 1 192.0.2.1 9 typ host\r\n", 40),
			""},
		{"candidates of another section", goodSDP + few + "m=audio 9 X 0\r\n" + few, ""},
		{"too many candidates", goodSDP + few + "a=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\n", ""},
		{"too many that are none", goodSDP + few + "a=candidate\r\n", ""},
		{"too large", goodSDP + strings.Repeat("a=x\r\n", 10_000), "bytes; the limit is 32768"},
		{"too many lines", goodSDP + strings.Repeat("\n", 1000), "sdp of 1011 lines; the limit is 1000"},
		{"a long line", goodSDP + "a=" + strings.Repeat("x", 3000) + "\r\n", "line 12 has 3002 bytes"},
		{"too many sections", goodSDP + strings.Repeat("m=video 9 X 96\r\n", 8), "9 media sections; the limit is 8"},
		{"no format", goodSDP + "m=video 9 X\r\n", "line 12: m= has 3 fields"},
		{"a port that is not one", goodSDP + "m=video 99999 X 0\r\n", "line 12: m= has port"},
		{"a kind that is not a word", goodSDP + "m=vid\u00a0eo 9 X 0\r\n", "line 12: m= has the field"},
		{"no section", "v=0\r\n", "without a media section"},
		{"a short ufrag", strings.Replace(goodSDP, "abcd\r\n", "abc\r\n", 1), "line 7: ice-ufrag has 3 characters"},
		{"a short password", strings.Replace(goodSDP, "a=ice-pwd:abcdef", "a=ice-pwd:", 1),
			"line 8: ice-pwd has 18 characters"},
		{"a password of other characters", strings.Replace(goodSDP, "pwd:abcdef", "pwd:abc ef", 1),
			"line 8: ice-pwd has the character ' '"},
		{"empty", "", "not an sdp"},
		{"json", `{"sdp":1}`, "not an sdp"},
	} {
		_, err := Parse(tt.text, Limits{})
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want an error with %q", tt.name, err, tt.want)
		}
	}
}

// TestSurplusCandidates: those beyond what is taken are left out and counted, names apart from addresses.
func TestSurplusCandidates(t *testing.T) {
	address, name := "a=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\n", "a=candidate:1 1 udp 1 x.local 9 typ host\r\n"
	d := mustParse(t, goodSDP+strings.Repeat(name, MaxCandidates)+strings.Repeat(address, MaxCandidates+3))
	if n := len(d.Sections[0].Candidates); n != 2*MaxCandidates || d.Surplus != 3 {
		t.Errorf("%d candidates, %d left out; want %d and 3", n, d.Surplus, 2*MaxCandidates)
	}
}

// TestDefaultsAreWritten: an H.264 format without parameters has those of RFC 6184, and of several fingerprints the one
// with the best hash stays.
func TestDefaultsAreWritten(t *testing.T) {
	const main = "profile-level-id=42e01f"
	for fmtp, want := range map[string]string{
		"":                                    "packetization-mode=0;profile-level-id=42000a",
		"a=fmtp:102 packetization-mode=1\r\n": "packetization-mode=1;profile-level-id=42000a",
		"a=fmtp:102 profile-level-id=640028;\r\n":                 "profile-level-id=640028;packetization-mode=0",
		"a=fmtp:102 packetization-mode=1;profile-level-id=z\r\n":  "packetization-mode=1;profile-level-id=42000a",
		"a=fmtp:102 packetization-mode=1; " + main + " ;x=1 \r\n": "packetization-mode=1; " + main + " ;x=1",
	} {
		d := mustParse(t, goodSDP+"m=video 9 UDP/TLS/RTP/SAVPF 102\r\na=rtpmap:102 h264/90000\r\n"+fmtp)
		got := d.Codecs()["video"]
		if c := got[len(got)-1]; c.Name != media.H264 || c.Fmtp != want {
			t.Errorf("%q: %+v, want %q", fmtp, c, want)
		}
	}
	d := mustParse(t, goodSDP+"a=fingerprint:sha-1 AA\r\na=fingerprint:SHA-256 BB\r\na=fingerprint:sha-9 CC\r\n")
	if text := d.Marshal(); strings.Contains(text, "sha-1 ") || strings.Contains(text, "sha-9") {
		t.Errorf("left are\n%s", text)
	}
}

// TestRealClientsAreReadAsPionReadsThem: writing anew loses nothing that Pion looks at.
func TestRealClientsAreReadAsPionReadsThem(t *testing.T) {
	for _, text := range written(t) {
		d := mustParse(t, text)
		before, after := pionReads(t, text+"\r\n"), pionReads(t, d.Marshal())
		for i, s := range before.MediaDescriptions {
			got := after.MediaDescriptions[i]
			if got.MediaName.Media != s.MediaName.Media || !slices.Equal(got.MediaName.Formats, s.MediaName.Formats) ||
				!slices.Equal(got.MediaName.Protos, s.MediaName.Protos) ||
				(got.MediaName.Port.Value == 0) != (s.MediaName.Port.Value == 0) {
				t.Errorf("section %d is %v, want %v", i, got.MediaName, s.MediaName)
			}
			for _, a := range s.Attributes {
				switch a.Key {
				case "candidate", "rtcp", "rid", "simulcast":
					continue
				}
				a.Value = strings.Trim(a.Value, " ")
				if !slices.ContainsFunc(got.Attributes, func(b pionsdp.Attribute) bool {
					return b == a || a.Key == "fmtp" && b.Key == "fmtp" && strings.HasPrefix(b.Value, a.Value+";")
				}) {
					t.Errorf("section %d: %v is lost", i, a)
				}
			}
		}
	}
}

func pionReads(t *testing.T, text string) *pionsdp.SessionDescription {
	t.Helper()
	var d pionsdp.SessionDescription
	if err := d.UnmarshalString(text); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return &d
}

// BenchmarkParseOffer reads, judges and writes Chromium's offer of three sections, 8.6 KB.
func BenchmarkParseOffer(b *testing.B) {
	text := written(b)[slices.IndexFunc(written(b),
		func(s string) bool { return strings.Contains(s, "goog") && len(s) > 4500 })]
	for i := 0; len(text) < 8600; i++ {
		text += "a=extmap:99 urn:ietf:params:rtp-hdrext:a-name-of-some-length\r\n"
	}
	rule := Rule{Remotes: OnLink}
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		d, err := Parse(text, Limits{})
		if err != nil {
			b.Fatal(err)
		}
		if d.Connectable() != nil || d.Judged(rule).Marshal() == "" {
			b.Fatal("nothing")
		}
	}
}
