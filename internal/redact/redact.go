// Package redact blanks the passwords that stand in the URLs of cameras wherever text leaves the process: log lines,
// the report, errors. Cameras take them as user information, as a query (?password=...), and in the path
// (/user=admin_password=..._channel=1).
package redact

import (
	"io"
	"regexp"
	"strings"
)

// Blank stands where a secret was.
const Blank = "[hidden]"

var (
	userinfo = regexp.MustCompile(`([a-zA-Z][a-zA-Z0-9+.-]*://)[^\s/?#"@]*(?:@[^\s/?#"@]*)*@`)
	named    = regexp.MustCompile(`(?i)(?:^|[^a-z0-9])[a-z0-9]*(?:passw(?:or)?d|passwd|passphrase|passcode|pass|pwd|psw|pw|` +
		`token|secret|api[-_]?key|access[-_]?key|psk|auth|signature|sig)(?:=|%3d)`)
	header    = regexp.MustCompile(`(?i)(\b(?:basic|bearer) +)([a-z0-9+/=._~-]{6,})`) // of HTTP and RTSP
	openQuote = regexp.MustCompile(`^\\*["']`)
	next      = regexp.MustCompile(`_[a-zA-Z]+=`) // the next parameter of a path
)

// eachNamed replaces the value of each parameter that is a secret by its name.
func eachNamed(s string, f func(value string) string) string {
	var b strings.Builder
	for {
		m := named.FindStringIndex(s)
		if m == nil {
			b.WriteString(s)
			return b.String()
		}
		value := s[m[1]:]
		start := strings.LastIndexAny(s[:m[1]], " \t\r\n\"'")
		if quote := openQuote.FindString(value); quote != "" {
			if i := strings.Index(value[len(quote):], quote); i >= 0 {
				end := m[1] + len(quote) + i
				b.WriteString(s[:m[1]] + quote)
				b.WriteString(f(value[len(quote) : len(quote)+i]))
				s = s[end:]
				continue
			}
		}
		ends := "&# \t\r\n\"'"
		query := strings.Contains(s[start+1:m[1]], "?")
		if !query {
			ends += "/,;"
		}
		if i := strings.IndexAny(value, ends); i >= 0 {
			value = value[:i]
		}
		if i := next.FindStringIndex(value); i != nil && !query {
			value = value[:i[0]]
		}
		value = strings.TrimRight(value, ":.)") // of the sentence around it
		b.WriteString(s[:m[1]])
		b.WriteString(f(value))
		s = s[m[1]+len(value):]
	}
}

// Text is a text without passwords: neither those that are known, nor what stands in its URLs where passwords do. Those
// that are known come first: what is cut off at a quote inside a password would leave the rest of it.
func Text(s string) string {
	if r := around.Load(); r != nil {
		s = r.Replace(s)
	}
	if strings.Contains(s, "://") {
		s = userinfo.ReplaceAllString(s, "${1}")
	}
	if strings.Contains(s, "uthorization") {
		s = header.ReplaceAllString(s, "${1}"+Blank)
	}
	if strings.ContainsAny(s, "=%") {
		s = eachNamed(s, func(string) string { return Blank })
	}
	return s
}

// Writer passes on to w what is written, without passwords. Each write is a text of its own.
func Writer(w io.Writer) io.Writer { return writer{w} }

type writer struct{ to io.Writer }

func (w writer) Write(text []byte) (int, error) {
	if _, err := io.WriteString(w.to, Text(string(text))); err != nil {
		return 0, err
	}
	return len(text), nil
}
