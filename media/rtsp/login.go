package rtsp

import (
	"crypto/md5"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"net/url"
	"slices"
	"strings"

	"github.com/bluenviron/gortsplib/v5/pkg/base"
)

// login answers the camera's challenges by digest (RFC 7616), with every kind that cameras ask for: MD5 and SHA-256,
// with qop and without. The library knows no qop, and calls a right password wrong.
type login struct {
	user, password string
	challenge      *challenge // the newest of a kind that is known; nil: none
	used           int        // requests under its nonce
	cnonce         func() string
}

func newLogin(user *url.Userinfo) *login {
	l := &login{cnonce: rand.Text}
	if user != nil {
		l.user = user.Username()
		l.password, _ = user.Password()
	}
	return l
}

// challenge is one of a WWW-Authenticate header.
type challenge struct {
	scheme string // in lower case
	params map[string]string
}

// challenged takes the challenges of an answer. When one is digest of a kind that we know, it leaves the library a
// plain one in their place. fresh reports that the password may be tried once more: the camera says that only its
// nonce was too old.
func (l *login) challenged(res *base.Response) (fresh bool) {
	best, rank := (*challenge)(nil), 0
	for _, v := range res.Header["WWW-Authenticate"] {
		for _, c := range readChallenges(v) {
			if r := c.rank(); r > rank {
				best, rank = c, r
			}
		}
	}
	if best == nil {
		return false
	}
	again := l.challenge == nil || l.challenge.params["nonce"] != best.params["nonce"]
	l.challenge = best
	if again {
		l.used = 0
	}
	res.Header["WWW-Authenticate"] = base.HeaderValue{fmt.Sprintf("Digest realm=%s, nonce=%s",
		quoted(best.params["realm"]), quoted(best.params["nonce"]))}
	return again && strings.EqualFold(best.params["stale"], "true")
}

// rank is 0 for a challenge that we cannot answer.
func (c *challenge) rank() int {
	if c.scheme != "digest" || c.params["nonce"] == "" {
		return 0
	}
	if qop, ok := c.params["qop"]; ok && !hasWord(qop, "auth") {
		return 0
	}
	switch algorithm, _ := strings.CutSuffix(strings.ToLower(c.params["algorithm"]), "-sess"); algorithm {
	case "sha-256":
		return 2
	case "", "md5":
		return 1
	}
	return 0
}

func hasWord(list, word string) bool {
	return slices.ContainsFunc(strings.Split(list, ","),
		func(w string) bool { return strings.EqualFold(strings.TrimSpace(w), word) })
}

// sign replaces the library's login in a request.
func (l *login) sign(req *base.Request) {
	if l.challenge == nil || len(req.Header["Authorization"]) != 1 {
		return
	}
	c := l.challenge.params
	algorithm, session := strings.CutSuffix(strings.ToLower(c["algorithm"]), "-sess")
	sum := func(parts ...string) string {
		var h hash.Hash = md5.New()
		if algorithm == "sha-256" {
			h = sha256.New()
		}
		h.Write([]byte(strings.Join(parts, ":")))
		return hex.EncodeToString(h.Sum(nil))
	}
	l.used++
	uri, nonce := req.URL.CloneWithoutCredentials().String(), c["nonce"]
	cnonce, count := l.cnonce(), fmt.Sprintf("%08x", l.used)
	ha1, ha2 := sum(l.user, c["realm"], l.password), sum(string(req.Method), uri)
	if session {
		ha1 = sum(ha1, nonce, cnonce)
	}
	user, hashed := l.user, strings.EqualFold(c["userhash"], "true")
	if hashed {
		user = sum(l.user, c["realm"])
	}
	fields := []string{"username=" + quoted(user), "realm=" + quoted(c["realm"]), "nonce=" + quoted(nonce),
		"uri=" + quoted(uri)}
	if _, ok := c["qop"]; ok {
		response := sum(ha1, nonce, count, cnonce, "auth", ha2)
		fields = append(fields, "response="+quoted(response), "qop=auth", "nc="+count)
	} else {
		fields = append(fields, "response="+quoted(sum(ha1, nonce, ha2)))
	}
	if _, ok := c["qop"]; ok || session {
		fields = append(fields, "cnonce="+quoted(cnonce))
	}
	if c["algorithm"] != "" {
		fields = append(fields, "algorithm="+c["algorithm"])
	}
	if opaque, ok := c["opaque"]; ok {
		fields = append(fields, "opaque="+quoted(opaque))
	}
	if hashed {
		fields = append(fields, "userhash=true")
	}
	req.Header["Authorization"] = base.HeaderValue{"Digest " + strings.Join(fields, ", ")}
}

func quoted(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

// readChallenges reads a header, which may hold several challenges (RFC 9110 section 11.6.1).
func readChallenges(text string) (out []*challenge) {
	for text = strings.TrimLeft(text, " ,\t"); text != ""; text = strings.TrimLeft(text, " ,\t") {
		end := strings.IndexAny(text, " ,=\t")
		if end < 0 {
			end = len(text)
		}
		name, rest := text[:end], strings.TrimLeft(text[end:], " \t")
		if !strings.HasPrefix(rest, "=") {
			out = append(out, &challenge{strings.ToLower(name), map[string]string{}})
			text = text[end:]
			continue
		}
		value, after := readValue(strings.TrimLeft(rest[1:], " \t"))
		if len(out) > 0 {
			if key := strings.ToLower(name); out[len(out)-1].params[key] == "" {
				out[len(out)-1].params[key] = value
			}
		}
		text = after
	}
	return out
}

// readValue reads a quoted string or a token.
func readValue(text string) (value, rest string) {
	if !strings.HasPrefix(text, `"`) {
		end := strings.IndexAny(text, ", \t")
		if end < 0 {
			end = len(text)
		}
		return text[:end], text[end:]
	}
	var b strings.Builder
	for i := 1; i < len(text); i++ {
		switch text[i] {
		case '\\':
			if i++; i < len(text) {
				b.WriteByte(text[i])
			}
		case '"':
			return b.String(), text[i+1:]
		default:
			b.WriteByte(text[i])
		}
	}
	return b.String(), ""
}
