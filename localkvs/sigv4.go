package localkvs

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	sigAlgorithm = "AWS4-HMAC-SHA256"
	sigTime      = "20060102T150405Z"
	sigSkew      = 5 * time.Minute
	sigMaxLife   = 7 * 24 * time.Hour
)

// scope is who signed a request and for what.
type scope struct {
	accessKey, region, service string
}

// verifier checks AWS Signature Version 4, in the Authorization header or in the query. (IAM user guide, "AWS Signature
// Version 4 for API requests".)
type verifier struct {
	secret func(accessKey, token string) (string, *apiError) // the key's secret
	now    func() time.Time
}

// signature is what a request says about its own signature.
type signature struct {
	scope
	day, date string
	at        time.Time
	life      time.Duration // pre-signed only
	headers   []string
	token     string
	sum       string
	inQuery   bool
}

// verify returns the scope of a request with a valid signature. body is the whole body.
func (v *verifier) verify(r *http.Request, body []byte) (scope, *apiError) {
	s, err := readSignature(r)
	if err != nil {
		return scope{}, err
	}
	if err := v.checkTime(s); err != nil {
		return scope{}, err
	}
	secret, err := v.secret(s.accessKey, s.token)
	if err != nil {
		return scope{}, err
	}
	for _, host := range hostForms(r) {
		want := s.sign(secret, canonicalRequest(r, s, host, body))
		if subtle.ConstantTimeCompare([]byte(want), []byte(s.sum)) == 1 {
			return s.scope, nil
		}
	}
	return scope{}, badSignature("The request signature we calculated does not match the signature you provided. " +
		"Check your AWS Secret Access Key and signing method. Consult the service documentation for details.")
}

// checkTime reports the two clocks in the service's words: clients look for them to tell a wrong clock from a wrong
// key.
func (v *verifier) checkTime(s signature) *apiError {
	now := v.now().UTC()
	if early := now.Add(sigSkew); s.at.After(early) {
		return badSignature("Signature not yet current: %s is still later than %s (%s + 5 min.)",
			s.date, early.Format(sigTime), now.Format(sigTime))
	}
	life, words := sigSkew, "5 min."
	if s.inQuery {
		life, words = s.life, strconv.Itoa(int(s.life/time.Second))+" sec."
	}
	if late := now.Add(-life); s.at.Before(late) {
		return badSignature("Signature expired: %s is now earlier than %s (%s - %s)",
			s.date, late.Format(sigTime), now.Format(sigTime), words)
	}
	return nil
}

func readSignature(r *http.Request) (signature, *apiError) {
	auth := r.Header.Get("Authorization")
	q := r.URL.Query()
	var s signature
	var credential, signed string
	switch {
	case strings.HasPrefix(auth, sigAlgorithm+" "):
		for part := range strings.SplitSeq(strings.TrimPrefix(auth, sigAlgorithm+" "), ",") {
			name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
			switch name {
			case "Credential":
				credential = value
			case "SignedHeaders":
				signed = value
			case "Signature":
				s.sum = value
			}
		}
		s.date, s.token = r.Header.Get("X-Amz-Date"), r.Header.Get("X-Amz-Security-Token")
		if s.date == "" {
			s.date = isoDate(r.Header.Get("Date"))
		}
	case param(q, "X-Amz-Signature") != "":
		s.inQuery = true
		credential, signed, s.sum = param(q, "X-Amz-Credential"), param(q, "X-Amz-SignedHeaders"), param(q,
			"X-Amz-Signature")
		s.date, s.token = param(q, "X-Amz-Date"), param(q, "X-Amz-Security-Token")
		if a := param(q, "X-Amz-Algorithm"); a != sigAlgorithm {
			return s, badSignature("X-Amz-Algorithm must be %s, not %q", sigAlgorithm, a)
		}
		var ok bool
		if s.life, ok = signedLife(param(q, "X-Amz-Expires")); !ok {
			return s, badSignature("X-Amz-Expires must be a number of seconds from 1 to %d",
				int(sigMaxLife/time.Second))
		}
	default:
		return s, forbidden("MissingAuthenticationTokenException", "Missing Authentication Token")
	}
	return s, s.parse(credential, signed)
}

func (s *signature) parse(credential, signed string) *apiError {
	parts := strings.Split(credential, "/")
	if len(parts) != 5 || parts[4] != "aws4_request" {
		return forbidden("IncompleteSignatureException",
			"Credential must be <key>/<date>/<region>/<service>/aws4_request")
	}
	s.accessKey, s.day, s.region, s.service = parts[0], parts[1], parts[2], parts[3]
	if !isRegion(s.region) {
		return badSignature("Credential should be scoped to a valid region.")
	}
	at, err := time.Parse(sigTime, s.date)
	if err != nil {
		return forbidden("IncompleteSignatureException", "Date must be in ISO-8601 'basic format'. Got '%.40s'.",
			s.date)
	}
	s.at = at
	if s.day != s.date[:8] {
		return badSignature("Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from "+
			"HTTP: '%.40s' != '%s'.", s.day, s.date[:8])
	}
	s.headers = strings.Split(strings.ToLower(signed), ";")
	if !slices.Contains(s.headers, "host") {
		return badSignature("'Host' must be a 'SignedHeader' in the AWS Authorization.")
	}
	return nil
}

// signedLife parses X-Amz-Expires in seconds. Values above the documented 5 minutes are accepted, as by the service:
// the C SDK signs for as long as its credentials last.
func signedLife(text string) (time.Duration, bool) {
	if text == "" {
		return sigSkew, true
	}
	n, err := strconv.Atoi(text)
	life := time.Duration(n) * time.Second
	return life, err == nil && n >= 1 && n <= int(sigMaxLife/time.Second)
}

func isoDate(httpDate string) string {
	at, err := http.ParseTime(httpDate)
	if err != nil {
		return httpDate
	}
	return at.UTC().Format(sigTime)
}

// hostForms returns the hosts that a client may have signed: what it sent, or the same without the port (the C SDK's
// signer stops at the colon), or with the default port (Go's signer keeps :443 of wss://host:443, which browsers leave
// out of the header).
func hostForms(r *http.Request) []string {
	forms := []string{r.Host}
	u := url.URL{Host: r.Host}
	switch {
	case u.Port() != "":
		forms = append(forms, strings.TrimSuffix(r.Host, ":"+u.Port()))
	case r.TLS != nil:
		forms = append(forms, r.Host+":443")
	default:
		forms = append(forms, r.Host+":80")
	}
	return forms
}

func canonicalRequest(r *http.Request, s signature, host string, body []byte) string {
	var b strings.Builder
	b.WriteString(r.Method + "\n" + canonicalPath(r.URL) + "\n" + canonicalQuery(r.URL.RawQuery) + "\n")
	for _, name := range s.headers {
		b.WriteString(name + ":" + headerValue(r, name, host) + "\n")
	}
	b.WriteString("\n" + strings.Join(s.headers, ";") + "\n" + hexSum(body))
	return b.String()
}

func headerValue(r *http.Request, name, host string) string {
	values := r.Header.Values(name)
	switch {
	case name == "host":
		values = []string{host}
	case name == "content-length" && len(values) == 0:
		values = []string{strconv.FormatInt(r.ContentLength, 10)}
	}
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = strings.Join(strings.Fields(v), " ")
	}
	return strings.Join(out, ",")
}

// canonicalPath returns the escaped path with each segment escaped once more, as for every service but S3.
func canonicalPath(u *url.URL) string {
	path := u.EscapedPath()
	if path == "" {
		return "/"
	}
	segments := strings.Split(path, "/")
	for i, s := range segments {
		segments[i] = escape(s)
	}
	return strings.Join(segments, "/")
}

// canonicalQuery sorts the parameters by name, then value, in byte order, all but the signature.
func canonicalQuery(raw string) string {
	var pairs [][2]string
	for part := range strings.SplitSeq(raw, "&") {
		name, value, _ := strings.Cut(part, "=")
		name = escape(unescape(name))
		if part == "" || strings.EqualFold(name, "X-Amz-Signature") {
			continue
		}
		pairs = append(pairs, [2]string{name, escape(unescape(value))})
	}
	slices.SortFunc(pairs, func(a, b [2]string) int {
		if c := strings.Compare(a[0], b[0]); c != 0 {
			return c
		}
		return strings.Compare(a[1], b[1])
	})
	out := make([]string, len(pairs))
	for i, p := range pairs {
		out[i] = p[0] + "=" + p[1]
	}
	return strings.Join(out, "&")
}

func (s signature) sign(secret, canonical string) string {
	scope := s.day + "/" + s.region + "/" + s.service + "/aws4_request"
	key := []byte("AWS4" + secret)
	for _, part := range []string{s.day, s.region, s.service, "aws4_request"} {
		key = mac(key, part)
	}
	return hex.EncodeToString(mac(key, sigAlgorithm+"\n"+s.date+"\n"+scope+"\n"+hexSum([]byte(canonical))))
}

func mac(key []byte, text string) []byte {
	m := hmac.New(sha256.New, key)
	m.Write([]byte(text))
	return m.Sum(nil)
}

func hexSum(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// escape percent-encodes everything but unreserved characters (RFC 3986).
func escape(s string) string {
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		if 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-_.~", c) >= 0 {
			b.WriteByte(c)
			continue
		}
		const digits = "0123456789ABCDEF"
		b.Write([]byte{'%', digits[c>>4], digits[c&15]})
	}
	return b.String()
}

func unescape(s string) string {
	u, err := url.QueryUnescape(s)
	if err != nil {
		return s
	}
	return u
}

// param returns a query parameter by its name in any case: clients differ, and the service accepts them all.
func param(q url.Values, name string) string {
	if v := q.Get(name); v != "" {
		return v
	}
	for k, v := range q {
		if strings.EqualFold(k, name) {
			return v[0]
		}
	}
	return ""
}
