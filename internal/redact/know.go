package redact

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

// shortest is how long a secret is that is looked for by itself: a shorter one would blank half of a text. By its place
// in a URL it is blanked all the same.
const shortest = 4

var (
	mu     sync.Mutex // guards known
	known  = map[string]bool{}
	around atomic.Pointer[strings.Replacer] // of known; nil: none
)

// Know has some secrets blanked wherever they stand.
func Know(secrets ...string) {
	mu.Lock()
	defer mu.Unlock()
	before := len(known)
	for _, s := range secrets {
		if len(s) < shortest {
			continue
		}
		for _, form := range forms(s) {
			known[form] = true
		}
	}
	if len(known) == before {
		return
	}
	longest := make([]string, 0, len(known))
	for s := range known {
		longest = append(longest, s)
	}
	slices.SortFunc(longest, func(a, b string) int { return len(b) - len(a) })
	var pairs []string
	for _, s := range longest {
		pairs = append(pairs, s, Blank)
	}
	around.Store(strings.NewReplacer(pairs...))
}

// forms returns how a secret is written: as it is, in a URL, and in quotes, which may stand in quotes in their turn, as
// the error of an error does in a line of JSON.
func forms(secret string) []string {
	all := []string{secret, url.QueryEscape(secret), url.PathEscape(secret), url.UserPassword("", secret).String()[1:]}
	const deep = 3
	for begin, level := 0, 0; level < deep && begin < len(all); level++ {
		end := len(all)
		for _, s := range all[begin:end] {
			all = append(all, inside(strconv.Quote(s)), inside(strconv.QuoteToASCII(s)), inside(quoteJSON(s, true)),
				inside(quoteJSON(s, false)), strings.ReplaceAll(s, "'", `'\''`))
		}
		slices.Sort(all[end:])
		fresh := slices.DeleteFunc(slices.Compact(all[end:]), func(s string) bool {
			return slices.Contains(all[:end], s)
		})
		begin, all = end, all[:end+len(fresh)]
	}
	return all
}

// quoteJSON quotes as encoding/json does, with or without care for HTML.
func quoteJSON(s string, html bool) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(html)
	_ = e.Encode(s) // a string can be encoded
	return strings.TrimSuffix(b.String(), "\n")
}

func inside(quoted string) string { return quoted[1 : len(quoted)-1] }

// KnowURL has the secrets in a URL blanked wherever they stand. What is around the URL, such as an option before it,
// belongs to one argument of a command with it.
func KnowURL(raw string) { each(raw, learn) }

// Holds says whether a text has a password where a URL or a parameter holds one. An empty one is none.
func Holds(s string) (found bool) {
	each(s, func(secret string) { found = found || secret != "" })
	return found
}

// Names says whether the name of a variable or an option is that of a secret.
func Names(name string) bool { return option.MatchString(name) }

// each calls f with each secret of a URL.
func each(raw string, f func(secret string)) {
	for rest := raw; ; {
		_, after, ok := strings.Cut(rest, "://")
		if !ok {
			break
		}
		for _, info := range infos(after) {
			if _, password, ok := strings.Cut(info, ":"); ok {
				f(password)
			}
		}
		rest = after
	}
	eachNamed(raw, func(value string) string {
		f(value)
		return value
	})
	if !strings.Contains(raw, "uthorization") {
		return
	}
	for _, m := range header.FindAllStringSubmatch(raw, -1) {
		f(m[2])
		if plain, err := base64.StdEncoding.DecodeString(m[2]); err == nil {
			if _, password, ok := strings.Cut(string(plain), ":"); ok {
				f(password)
			}
		}
	}
}

// infos returns what may be the user information at the begin of a text: what is before the last @ of the authority,
// and, where somebody wrote a / ? or # into a password, before any @.
func infos(s string) (out []string) {
	authority := s
	if i := strings.IndexAny(s, "/?#"); i >= 0 {
		authority = s[:i]
	}
	if i := strings.LastIndexByte(authority, '@'); i >= 0 {
		return []string{s[:i]}
	}
	if _, port, ok := strings.Cut(authority, ":"); !ok || isPort.MatchString(port) {
		return nil
	}
	for i := range s {
		if s[i] == '@' {
			out = append(out, s[:i])
		}
	}
	return out
}

var (
	isPort = regexp.MustCompile(`^[0-9]{0,5}$`)
	option = regexp.MustCompile(`(?i)^[a-z0-9_-]*(?:passw(?:or)?d|passphrase|passcode|secret|token|` +
		`api[-_]?key)[a-z0-9_-]*$|^(?:[a-z0-9_-]*[_-])?(?:[a-z0-9]+pass|pass|[a-z0-9]*pwd|psw|[a-z0-9]*pw)$`)
	login = regexp.MustCompile(`(?i)^(?:-u|(?:[a-z0-9_-]*[_-])?(?:user|auth|login|credentials?|creds?))$`)
)

// KnowVariable has the value of a variable or of an option blanked when the name says that it is a secret, and the
// secrets of the URL, or of the user:password, that it is.
func KnowVariable(name, value string) {
	KnowURL(value)
	switch {
	case option.MatchString(name):
		learn(value)
	case login.MatchString(name):
		if user, password, ok := strings.Cut(value, ":"); ok && !strings.ContainsAny(user, "/ ") {
			learn(password)
		}
	}
}

// KnowArguments has the secrets in the arguments of a command blanked: those of URLs, and the values of options whose
// names say so. An argument may be a command line of its own, as after sh -c.
func KnowArguments(args ...string) {
	before := ""
	for _, arg := range args {
		KnowVariable(before, arg)
		if name, value, ok := strings.Cut(arg, "="); ok {
			KnowVariable(name, value)
		}
		if before = arg; !strings.HasPrefix(arg, "-") {
			before = ""
		}
		if words := strings.Fields(arg); len(words) > 1 {
			for i := range words {
				words[i] = strings.Trim(words[i], `"';`)
			}
			KnowArguments(words...)
		}
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
