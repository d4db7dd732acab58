package onvif

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"hash"
	"html"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// ErrLogin says that a camera needs a user and a password, or other ones.
var ErrLogin = errors.New("user and password refused; hint: many cameras have ONVIF users of their own, apart from " +
	"those of the web page")

// ErrUnsupported says that a camera does not support the request.
var ErrUnsupported = errors.New("the camera does not do that")

// Profile is one stream of a camera.
type Profile struct {
	Name          string
	Codec         string // as ONVIF calls it: H264, H265, JPEG
	Width, Height int
	FPS           int
	Audio         string // G711, AAC, ""
	URI           string // rtsp://..., without a login
	Token         string // by which the camera knows it
}

// Login is a user of a camera; the zero value means no login.
type Login struct{ Username, Password string }

// Profiles asks a camera for its streams. address is the URL of its device service.
func Profiles(ctx context.Context, address string, login Login) ([]Profile, error) {
	c, u, err := newClient(address, login)
	if err != nil {
		return nil, err
	}
	profiles, err := c.profiles(ctx, u)
	if err != nil {
		return nil, fmt.Errorf("onvif %s: %w", u.Host, err)
	}
	return profiles, nil
}

func newClient(address string, login Login) (*client, *url.URL, error) {
	u, err := url.Parse(address)
	if err != nil || u.Hostname() == "" {
		return nil, nil, fmt.Errorf("onvif: %q is not an address; hint: http://HOST/onvif/device_service", address)
	}
	return &client{host: u.Hostname(), login: login, http: &http.Client{
		Timeout:       10 * time.Second,
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, u, nil
}

// client asks one camera.
type client struct {
	host  string
	login Login
	http  *http.Client
	skew  time.Duration // of the camera's clock, which the digest of a login must match
}

func (c *client) profiles(ctx context.Context, device *url.URL) ([]Profile, error) {
	c.readClock(ctx, device)
	media, err := c.mediaService(ctx, device)
	if err != nil {
		return nil, err
	}
	var list struct {
		Profiles []struct {
			Token string `xml:"token,attr"`
			Name  string `xml:"Name"`
			Video struct {
				Encoding string `xml:"Encoding"`
				Width    int    `xml:"Resolution>Width"`
				Height   int    `xml:"Resolution>Height"`
				FPS      int    `xml:"RateControl>FrameRateLimit"`
			} `xml:"VideoEncoderConfiguration"`
			Audio struct {
				Encoding string `xml:"Encoding"`
			} `xml:"AudioEncoderConfiguration"`
		} `xml:"Body>GetProfilesResponse>Profiles"`
	}
	if err := c.call(ctx, media, `<GetProfiles xmlns="http://www.onvif.org/ver10/media/wsdl"/>`, &list); err != nil {
		return nil, fmt.Errorf("profiles: %w", err)
	}
	if len(list.Profiles) > 32 {
		list.Profiles = list.Profiles[:32]
	}
	var profiles []Profile
	for _, p := range list.Profiles {
		uri, err := c.streamURI(ctx, media, p.Token)
		if err != nil {
			return nil, fmt.Errorf("stream of profile %q: %w", printable(p.Name), err)
		}
		profiles = append(profiles, Profile{
			Name: printable(p.Name), Codec: printable(p.Video.Encoding), Width: p.Video.Width, Height: p.Video.Height,
			FPS:   p.Video.FPS,
			Audio: printable(p.Audio.Encoding), URI: uri, Token: p.Token,
		})
	}
	return profiles, nil
}

// readClock asks for the camera's time, which needs no login (ONVIF Core, section 5.9.4.2). Without an answer it is
// assumed to be right.
func (c *client) readClock(ctx context.Context, device *url.URL) {
	var answer struct {
		Time struct {
			Hour, Minute, Second int
		} `xml:"Body>GetSystemDateAndTimeResponse>SystemDateAndTime>UTCDateTime>Time"`
		Date struct {
			Year, Month, Day int
		} `xml:"Body>GetSystemDateAndTimeResponse>SystemDateAndTime>UTCDateTime>Date"`
	}
	nobody := *c
	nobody.login = Login{}
	if nobody.call(ctx, device, `<GetSystemDateAndTime xmlns="http://www.onvif.org/ver10/device/wsdl"/>`,
		&answer) == nil && answer.Date.Year > 0 {
		d, t := answer.Date, answer.Time
		c.skew = time.Until(time.Date(d.Year, time.Month(d.Month), d.Day, t.Hour, t.Minute, t.Second, 0, time.UTC))
	}
}

// mediaService asks for the address of the media service. A camera behind a NAT returns addresses that we cannot reach:
// only port and path are used, on the host that was asked.
func (c *client) mediaService(ctx context.Context, device *url.URL) (*url.URL, error) {
	var answer struct {
		XAddr string `xml:"Body>GetCapabilitiesResponse>Capabilities>Media>XAddr"`
	}
	body := `<GetCapabilities xmlns="http://www.onvif.org/ver10/device/wsdl"><Category>Media</Category></GetCapabilities>`
	if err := c.call(ctx, device, body, &answer); err != nil {
		return nil, fmt.Errorf("capabilities: %w", err)
	}
	u, err := url.Parse(strings.TrimSpace(answer.XAddr))
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, errors.New("it has no media service; hint: is it a camera?")
	}
	return c.own(u, device), nil
}

// own returns u on the host of the camera.
func (c *client) own(u, device *url.URL) *url.URL {
	if u.Hostname() == c.host {
		return u
	}
	moved := *u
	moved.Scheme, moved.Host = device.Scheme, device.Host
	return &moved
}

func (c *client) streamURI(ctx context.Context, media *url.URL, token string) (string, error) {
	var answer struct {
		URI string `xml:"Body>GetStreamUriResponse>MediaUri>Uri"`
	}
	body := `<GetStreamUri xmlns="http://www.onvif.org/ver10/media/wsdl" xmlns:t="http://www.onvif.org/ver10/schema"><StreamSetup>` +
		`<t:Stream>RTP-Unicast</t:Stream><t:Transport><t:Protocol>RTSP</t:Protocol></t:Transport></StreamSetup>` +
		`<ProfileToken>` + html.EscapeString(token) + `</ProfileToken></GetStreamUri>`
	if err := c.call(ctx, media, body, &answer); err != nil {
		return "", err
	}
	u, err := url.Parse(strings.TrimSpace(answer.URI))
	if err != nil || u.Host == "" || u.Scheme != "rtsp" && u.Scheme != "rtsps" {
		return "", errors.New("no rtsp address in the answer")
	}
	u.User = nil
	if u.Hostname() != c.host {
		port := u.Port()
		u.Host = c.host
		if strings.Contains(c.host, ":") {
			u.Host = "[" + c.host + "]"
		}
		if port != "" {
			u.Host += ":" + port
		}
	}
	return u.String(), nil
}

// call sends one request and decodes the answer into v. The login is in the message (WS-Security), and in HTTP when the
// camera asks for that.
func (c *client) call(ctx context.Context, to *url.URL, body string, v any) error {
	res, err := c.post(ctx, to, body, "")
	if err != nil {
		return err
	}
	if challenge := res.Header.Get("WWW-Authenticate"); res.StatusCode == http.StatusUnauthorized &&
		c.login.Username != "" {
		answer, ok := digest(challenge, c.login, http.MethodPost, to.RequestURI())
		if ok {
			_ = res.Body.Close()
			if res, err = c.post(ctx, to, body, answer); err != nil {
				return err
			}
		}
	}
	defer res.Body.Close()
	data, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	switch {
	case err != nil:
		return err
	case len(data) > maxAnswer:
		return fmt.Errorf("an answer of more than %d bytes", maxAnswer)
	case bytes.Contains(data, []byte("ActionNotSupported")):
		return ErrUnsupported
	case res.StatusCode == http.StatusUnauthorized, bytes.Contains(data, []byte("NotAuthorized")):
		return ErrLogin
	case res.StatusCode != http.StatusOK:
		return fmt.Errorf("HTTP status %d; hint: is ONVIF switched on in the camera?", res.StatusCode)
	}
	if err := xml.Unmarshal(data, v); err != nil {
		return fmt.Errorf("no SOAP in the answer: %w", err)
	}
	return nil
}

func (c *client) post(ctx context.Context, to *url.URL, body, authorization string) (*http.Response, error) {
	envelope := `<?xml version="1.0" encoding="UTF-8"?><s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope"><s:Header>` +
		c.security(time.Now().Add(c.skew)) + `</s:Header><s:Body>` + body + `</s:Body></s:Envelope>`
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to.String(), strings.NewReader(envelope))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/soap+xml; charset=utf-8")
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	res, err := c.http.Do(req)
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err // the message already has the address
	}
	return res, err
}

// security returns the login as a digest (WS-Security UsernameToken Profile 1.0, section 3.1; ONVIF Core, section
// 5.9.4).
func (c *client) security(now time.Time) string {
	if c.login.Username == "" {
		return ""
	}
	var nonce [16]byte
	_, _ = rand.Read(nonce[:]) // never fails
	created := now.UTC().Format("2006-01-02T15:04:05.000Z")
	sum := sha1.Sum(append(append(nonce[:], created...), c.login.Password...))
	const ns = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-"
	return `<w:Security xmlns:w="` + ns + `wssecurity-secext-1.0.xsd" xmlns:u="` + ns +
		`wssecurity-utility-1.0.xsd" s:mustUnderstand="1"><w:UsernameToken>` +
		`<w:Username>` + html.EscapeString(c.login.Username) + `</w:Username>` +
		`<w:Password Type="` + ns + `username-token-profile-1.0#PasswordDigest">` +
		base64.StdEncoding.EncodeToString(sum[:]) + `</w:Password>` +
		`<w:Nonce>` + base64.StdEncoding.EncodeToString(nonce[:]) + `</w:Nonce><u:Created>` + created +
		`</u:Created></w:UsernameToken></w:Security>`
}

// digest answers an HTTP digest challenge (RFC 7616). It does not answer Basic, which would expose the password on the
// network.
func digest(challenge string, login Login, method, uri string) (string, bool) {
	rest, ok := cutPrefixFold(challenge, "digest ")
	if !ok {
		return "", false
	}
	p := parameters(rest)
	newHash := md5.New
	switch strings.ToUpper(p["algorithm"]) {
	case "", "MD5":
	case "SHA-256":
		newHash = sha256.New
	default:
		return "", false
	}
	h := func(parts ...string) string { return sum(newHash(), strings.Join(parts, ":")) }
	a1, a2 := h(login.Username, p["realm"], login.Password), h(method, uri)
	answer := fmt.Sprintf(`Digest username=%q, realm=%q, nonce=%q, uri=%q`, login.Username, p["realm"], p["nonce"], uri)
	if p["algorithm"] != "" {
		answer += ", algorithm=" + p["algorithm"]
	}
	if p["opaque"] != "" {
		answer += fmt.Sprintf(`, opaque=%q`, p["opaque"])
	}
	if !strings.Contains(p["qop"], "auth") {
		return answer + fmt.Sprintf(`, response=%q`, h(a1, p["nonce"], a2)), true
	}
	cnonce := uuid()
	return answer + fmt.Sprintf(`, qop=auth, nc=00000001, cnonce=%q, response=%q`, cnonce,
		h(a1, p["nonce"], "00000001", cnonce, "auth", a2)), true
}

func sum(h hash.Hash, text string) string {
	_, _ = io.WriteString(h, text) // never fails
	return hex.EncodeToString(h.Sum(nil))
}

func cutPrefixFold(s, prefix string) (string, bool) {
	if len(s) < len(prefix) || !strings.EqualFold(s[:len(prefix)], prefix) {
		return s, false
	}
	return s[len(prefix):], true
}

// parameters parses a list such as realm="a, b", nonce=c.
func parameters(s string) map[string]string {
	p := map[string]string{}
	for s != "" && len(p) < 32 {
		key, rest, ok := strings.Cut(s, "=")
		if !ok {
			break
		}
		key = strings.ToLower(strings.Trim(key, " ,\t"))
		if strings.HasPrefix(rest, `"`) {
			p[key], s, _ = strings.Cut(rest[1:], `"`)
			continue
		}
		p[key], s, _ = strings.Cut(rest, ",")
		p[key] = strings.TrimSpace(p[key])
	}
	return p
}
