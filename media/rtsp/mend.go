package rtsp

import (
	"encoding/base64"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/bluenviron/gortsplib/v5/pkg/description"
	"github.com/bluenviron/gortsplib/v5/pkg/sdpunmarshaler"
)

// One bad line about one track of a camera's description must not cost the others. The library refuses the whole for
// it, so what it refuses is mended or left out before.

const maxFormats = 32 // of one track

// mended returns a description that the library reads, and what was left out of it, for people. host is where absolute
// paths lead. A description that is good stays as it is.
func mended(body []byte, host string) (out []byte, left []string) {
	text := withPaths(string(body), host)
	if readable(text) == nil {
		return []byte(text), nil
	}
	lines := strings.FieldsFunc(text, func(r rune) bool { return r == '\r' || r == '\n' })
	head, sections := []string{}, [][]string{}
	for _, line := range lines {
		switch {
		case strings.HasPrefix(line, "m="):
			sections = append(sections, []string{line})
		case len(sections) > 0:
			sections[len(sections)-1] = append(sections[len(sections)-1], line)
		default:
			head = append(head, line)
		}
	}
	begin := headOf(head)
	for n, s := range sections {
		if n >= 2*maxMedias {
			left = append(left, fmt.Sprintf("%d more tracks", len(sections)-n))
			break
		}
		good, bad := section(begin, s)
		begin = joined(begin, good)
		left = append(left, bad...)
	}
	return []byte(begin), left
}

// readable says why the library does not read a description.
func readable(text string) error {
	raw, err := sdpunmarshaler.Unmarshal([]byte(text))
	if err != nil {
		return err
	}
	var d description.Session
	return d.Unmarshal2(raw)
}

func joined(begin string, lines []string) string {
	if len(lines) == 0 {
		return begin
	}
	return begin + strings.Join(lines, "\r\n") + "\r\n"
}

// trial is a track that every reader takes, to try what stands before it.
const trial = "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=control:x\r\n"

// headOf is the lines of the session, or, when they are not readable, what is needed of them.
func headOf(lines []string) string {
	if text := joined("", lines); readable(text+trial) == nil {
		return text
	}
	text := "v=0\r\no=- 0 0 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n"
	for _, line := range lines {
		if strings.HasPrefix(line, "a=") && readable(text+line+"\r\n"+trial) == nil {
			text += line + "\r\n"
		}
	}
	return text
}

// section returns the lines of a track that are readable behind begin, with as many of its formats as can be; none when
// nothing of it is.
func section(begin string, lines []string) (good, left []string) {
	fine := func(lines []string) error { return readable(joined(begin, lines)) }
	if fine(lines) == nil {
		return lines, nil
	}
	lines = mendedLines(lines)
	err := fine(lines)
	if err == nil {
		return lines, nil
	}
	m := strings.Fields(lines[0])
	if len(m) < 4 {
		return nil, []string{fmt.Sprintf("a track (%s)", printable(lines[0]))}
	}
	var taken []string
	for n, pt := range m[3:] {
		if n >= maxFormats {
			left = append(left, fmt.Sprintf("%d more formats", len(m)-3-n))
			break
		}
		one := formats(lines, m[:3], []string{pt})
		if err := fine(one); err != nil {
			left = append(left, fmt.Sprintf("%s %s (%s)", strings.TrimPrefix(m[0], "m="), formatName(lines, pt),
				printable(err.Error())))
			continue
		}
		if all := formats(lines, m[:3], append(slices.Clone(taken), pt)); fine(all) == nil {
			taken = append(taken, pt)
		}
	}
	if len(taken) == 0 {
		if left == nil {
			left = []string{fmt.Sprintf("%s (%s)", strings.TrimPrefix(m[0], "m="), printable(err.Error()))}
		}
		return nil, left
	}
	return formats(lines, m[:3], taken), left
}

var ofFormat = regexp.MustCompile(`^a=(?:rtpmap|fmtp|rtcp-fb):(\d+)\b`)

// formats is a track with some of its formats.
func formats(lines, begin, pts []string) []string {
	out := []string{strings.Join(append(slices.Clone(begin), pts...), " ")}
	for _, line := range lines[1:] {
		if f := ofFormat.FindStringSubmatch(line); f == nil || slices.Contains(pts, f[1]) {
			out = append(out, line)
		}
	}
	return out
}

// formatName is what the rtpmap calls a payload type.
func formatName(lines []string, pt string) string {
	for _, line := range lines {
		if name, ok := strings.CutPrefix(line, "a=rtpmap:"+pt+" "); ok {
			return printable(strings.TrimSpace(name))
		}
	}
	return "payload type " + printable(pt)
}

var (
	lineShape = regexp.MustCompile(`^[a-z]=`)
	opusMap   = regexp.MustCompile(`(?i)^(a=rtpmap:\d+\s+opus)/\d+(?:/\d+)?\s*$`)
	sprop     = regexp.MustCompile(`(?i)\s*(sprop-[a-z-]+)=([^;]*);?`)
)

// mendedLines corrects what is known of cameras: Opus without its two channels (RFC 7587 section 7), a format's
// parameters under another payload type, parameter sets that are not base64, and lines that are none.
func mendedLines(lines []string) (out []string) {
	m := strings.Fields(lines[0])
	var pts []string
	if len(m) > 3 {
		pts = m[3:]
	}
	out = append(out, lines[0])
	for _, line := range lines[1:] {
		if !lineShape.MatchString(line) {
			continue
		}
		line = opusMap.ReplaceAllString(line, "$1/48000/2")
		if f := ofFormat.FindStringSubmatch(line); f != nil && !slices.Contains(pts, f[1]) {
			if len(pts) != 1 {
				continue
			}
			line = strings.Replace(line, ":"+f[1], ":"+pts[0], 1)
		}
		if strings.HasPrefix(line, "a=fmtp:") {
			line = sprop.ReplaceAllStringFunc(line, func(p string) string {
				value := sprop.FindStringSubmatch(p)[2]
				for set := range strings.SplitSeq(value, ",") {
					if _, err := base64.StdEncoding.DecodeString(strings.TrimSpace(set)); err != nil {
						return ""
					}
				}
				return p
			})
			line = strings.TrimRight(line, "; ")
			if pt, _, ok := strings.Cut(line, " "); !ok && pt != "" {
				continue // nothing is left of it
			}
		}
		out = append(out, line)
	}
	return out
}

var pathControl = regexp.MustCompile(`(?m)^a=control:(/[^\r\n]*)`)

// withPaths makes absolute paths of tracks whole URLs: the library would put them behind the stream's own path.
func withPaths(text, host string) string {
	return pathControl.ReplaceAllStringFunc(text, func(line string) string {
		return "a=control:" + host + strings.TrimPrefix(line, "a=control:")
	})
}
