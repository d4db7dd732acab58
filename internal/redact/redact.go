// Package redact blanks the passwords that stand in the URLs of cameras wherever text leaves the process: log lines,
// the report, errors. Cameras take them as user information, as a query (?password=...), and in the path
// (/user=admin_password=..._channel=1).
package redact

import (
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// Blank stands where a secret was.
const Blank = "[hidden]"

// shortest is how long a secret is that is looked for by itself: a shorter one would blank half of a text. By its place
// in a URL it is blanked all the same.
const shortest = 4

var (
	userinfo = regexp.MustCompile(`([a-zA-Z][a-zA-Z0-9+.-]*://)[^\s/?#"'@]*(?:@[^\s/?#"'@]*)*@`)
	named    = regexp.MustCompile(`(?i)(?:^|[^a-z0-9])[a-z0-9]*(?:passw(?:or)?d|passwd|passphrase|pass|pwd|psw|pw|token|` +
		`secret|apikey|auth|signature|sig)(?:=|%3d)`)
	next = regexp.MustCompile(`_[a-zA-Z]+=`) // the next parameter of a path
)

var (
	mu     sync.Mutex // guards known
	known  []string
	around atomic.Pointer[strings.Replacer] // of known; nil: none
)

// Know has some secrets blanked wherever they stand.
func Know(secrets ...string) {
	mu.Lock()
	defer mu.Unlock()
	changed := false
	for _, s := range secrets {
		for _, form := range []string{s, url.QueryEscape(s), url.PathEscape(s)} {
			if len(s) >= shortest && !slices.Contains(known, form) {
				known, changed = append(known, form), true
			}
		}
	}
	if !changed {
		return
	}
	slices.SortFunc(known, func(a, b string) int { return len(b) - len(a) })
	var pairs []string
	for _, s := range known {
		pairs = append(pairs, s, Blank)
	}
	around.Store(strings.NewReplacer(pairs...))
}

// KnowURL has the secrets in a URL, or in a command line with URLs, blanked wherever they stand.
func KnowURL(raw string) {
	for _, m := range userinfo.FindAllString(raw, -1) {
		_, info, _ := strings.Cut(strings.TrimSuffix(m, "@"), "://")
		if _, password, ok := strings.Cut(info, ":"); ok {
			learn(password)
		}
	}
	eachNamed(raw, func(value string) string {
		learn(value)
		return value
	})
}

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

func learn(s string) {
	Know(s)
	if plain, err := url.QueryUnescape(s); err == nil {
		Know(plain)
	}
	if plain, err := url.PathUnescape(s); err == nil {
		Know(plain)
	}
}

// Text is a text without passwords: neither those that are known, nor what stands in its URLs where passwords do.
func Text(s string) string {
	if strings.Contains(s, "://") {
		s = userinfo.ReplaceAllString(s, "${1}")
	}
	if strings.ContainsAny(s, "=%") {
		s = eachNamed(s, func(string) string { return Blank })
	}
	if r := around.Load(); r != nil {
		s = r.Replace(s)
	}
	return s
}
