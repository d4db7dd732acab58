package sdp

import (
	"slices"
	"strings"

	"github.com/kvsagent/kvsagent/media"
)

// Codec is a format that a remote names: a codec, or a helper such as rtx.
type Codec struct {
	Name media.Codec
	Fmtp string // RFC 8866 section 6.15, without the payload type
}

// Codecs lists what a description has, by kind ("video", "audio"), in the remote's order. A kind without a section that
// is not turned down has no entry.
func (d *Description) Codecs() map[string][]Codec {
	out := map[string][]Codec{}
	for i := range d.Sections {
		s := &d.Sections[i]
		if s.rejected() {
			continue
		}
		out[s.Media] = append(out[s.Media], s.codecs(s.Formats)...)
	}
	return out
}

// Negotiated lists what an answer settles on: the first codec of each section that is not rejected.
func (d *Description) Negotiated() (out []media.Codec) {
	for i := range d.Sections {
		if s := &d.Sections[i]; s.Port != 0 {
			for _, c := range s.codecs(s.Formats[:1]) {
				out = append(out, c.Name)
			}
		}
	}
	return out
}

// codecs describes payload types of the section. Those without a name are left out.
func (s *Section) codecs(formats []string) []Codec {
	found := make([]Codec, len(formats))
	at := make(map[string]int, len(formats))
	for i, pt := range formats {
		at[pt] = i
		switch pt { // RFC 3551 section 6: static payload types need no rtpmap
		case "0":
			found[i].Name = media.PCMU
		case "8":
			found[i].Name = media.PCMA
		}
	}
	for _, a := range s.attributes {
		if a.key != "rtpmap" && a.key != "fmtp" {
			continue
		}
		pt, rest, _ := strings.Cut(a.value, " ")
		i, ok := at[pt]
		if !ok {
			continue
		}
		if rest = strings.TrimLeft(rest, " "); a.key == "fmtp" {
			found[i].Fmtp = rest
			continue
		}
		name, _, _ := strings.Cut(rest, "/")
		found[i].Name = Canonical(name)
	}
	return slices.DeleteFunc(found, func(c Codec) bool { return c.Name == "" })
}

// Canonical spells an encoding name as media does; SDP compares them without case.
func Canonical(name string) media.Codec {
	for _, c := range []media.Codec{media.H264, media.H265, media.VP8, media.VP9, media.AV1, media.Opus, media.PCMU,
		media.PCMA} {
		if strings.EqualFold(name, string(c)) {
			return c
		}
	}
	return media.Codec(name)
}

// Names lists codecs for people, each once, without the helpers (rtx, red, ...).
func Names(codecs []Codec) string {
	var out []string
	for _, c := range codecs {
		switch strings.ToLower(string(c.Name)) {
		case "rtx", "red", "ulpfec", "flexfec-03", "telephone-event", "cn":
			continue
		}
		if !slices.Contains(out, string(c.Name)) {
			out = append(out, string(c.Name))
		}
	}
	if len(out) == 0 {
		return "nothing"
	}
	return strings.Join(out, ", ")
}

// Match finds what a remote offers for a codec. For H.264 that is the profile nearest to the stream's (profile_idc and
// constraint flags, 4 hex digits): browsers list few profiles by name and decode more (Debian's Chromium plays High and
// does not offer it).
func Match(codec media.Codec, profile string, offered []Codec) (Codec, bool) {
	var best Codec
	score := -1
	for _, c := range offered {
		if c.Name != codec {
			continue
		}
		s := 0
		if codec == media.H264 {
			s = h264Score(profile, c.Fmtp)
		}
		if s > score {
			best, score = c, s
		}
	}
	return best, score >= 0
}

// h264Score rates an offered H.264 format for a stream of the given profile; -1 is unusable. We send fragmentation
// units, which packetization mode 0 has not (RFC 6184 section 6.2). Embedded clients name it, or nothing at all, and
// take them all the same; so it comes last.
func h264Score(profile, fmtp string) int {
	offered := strings.ToLower(FmtpValue(fmtp, "profile-level-id"))
	if len(offered) != 6 {
		return -1
	}
	switch FmtpValue(fmtp, "packetization-mode") {
	case "1":
		return 20 + profileScore(profile, offered)
	case "0":
		return profileScore(profile, offered)
	}
	return -1 // interleaved
}

func profileScore(profile, offered string) int {
	if offered[:4] == profile {
		return 10
	}
	order := map[string][]string{ // best last
		"42": {"f4", "64", "4d", "42"},
		"4d": {"f4", "42", "64", "4d"},
		"64": {"f4", "42", "4d", "64"},
	}[profile[:2]]
	return 1 + slices.Index(order, offered[:2])
}

// FmtpValue is that of a parameter of a format; "" when it is not there.
func FmtpValue(fmtp, key string) string {
	for part := range strings.SplitSeq(fmtp, ";") {
		if k, v, ok := strings.Cut(strings.TrimSpace(part), "="); ok && strings.EqualFold(k, key) {
			return strings.TrimSpace(v)
		}
	}
	return ""
}
