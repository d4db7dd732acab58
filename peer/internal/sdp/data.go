package sdp

import (
	"slices"
	"strings"
)

// Left is a section that was left out of a remote's description, and is rejected in ours.
type Left struct {
	at  int    // which of the sections
	mid string // "" for none
	was string // the rest of its m= line, from the protocol on
}

// WithoutData leaves the sections for data channels out of a description, and out of its bundle: who reads the rest
// learns nothing of them.
func (d *Description) WithoutData(text string) (rest string, left []Left) {
	var mids []string
	for i := range d.Sections {
		if s := &d.Sections[i]; s.Media == "application" {
			left = append(left, Left{i, s.Mid, s.Proto + " " + strings.Join(s.Formats, " ")})
			mids = append(mids, s.Mid)
		}
	}
	if left == nil {
		return text, nil
	}
	var b strings.Builder
	section, out := -1, false
	for line := range strings.Lines(text) {
		bare := strings.TrimRight(line, "\r\n")
		if strings.HasPrefix(bare, "m=") {
			section++
			out = slices.ContainsFunc(left, func(l Left) bool { return l.at == section })
		}
		if out {
			continue
		}
		if group, ok := strings.CutPrefix(bare, "a=group:"); ok {
			line = "a=group:" + strings.Join(without(words(group, -1), mids), " ") + line[len(bare):]
		}
		b.WriteString(line)
	}
	return b.String(), left
}

// without is a group, its semantics first, without some mids.
func without(group, mids []string) []string {
	if len(group) == 0 {
		return group
	}
	rest := slices.DeleteFunc(group[1:], func(mid string) bool { return slices.Contains(mids, mid) })
	return append(group[:1], rest...)
}

// WithRejected puts the sections that were left out back in their places, rejected (RFC 3264 section 6).
func WithRejected(ours string, left []Left) string {
	var b strings.Builder
	section := 0
	put := func() {
		for _, l := range left {
			if l.at != section {
				continue
			}
			b.WriteString("m=application 0 " + l.was + "\r\nc=IN IP4 0.0.0.0\r\na=inactive\r\n")
			if l.mid != "" {
				b.WriteString("a=mid:" + l.mid + "\r\n")
			}
			section++
		}
	}
	for line := range strings.Lines(ours) {
		if strings.HasPrefix(line, "m=") {
			put()
			section++
		}
		b.WriteString(line)
	}
	put()
	return b.String()
}
