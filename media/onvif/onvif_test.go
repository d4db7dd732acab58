package onvif_test

import (
	"context"
	"crypto/md5"
	"crypto/sha1"
	"encoding/base64"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/kvsagent/kvsagent/media/onvif"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// camera is an ONVIF device: WS-Discovery over UDP, and the device and media services over HTTP. The fields are set
// before start.
type camera struct {
	t         *testing.T
	user      string // "" is for everybody
	pass      string
	http      bool          // the login is HTTP digest and not WS-Security
	skew      time.Duration // of its clock
	elsewhere bool          // its addresses name another host, as behind a NAT
	name      string

	server *httptest.Server
	udp    *net.UDPConn
	mu     sync.Mutex // guards the fields below
	heard  []string   // requests
	noKeys bool       // it makes none on request
}

func (c *camera) start() *camera {
	c.t.Helper()
	c.server = httptest.NewServer(c)
	udp, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		c.t.Fatal(err)
	}
	c.udp = udp
	var wg sync.WaitGroup
	wg.Go(c.answerProbes)
	c.t.Cleanup(func() {
		_ = udp.Close()
		wg.Wait()
		c.server.Close()
	})
	return c
}

func (c *camera) target() netip.AddrPort { return c.udp.LocalAddr().(*net.UDPAddr).AddrPort() }
func (c *camera) address() string        { return c.server.URL + "/onvif/device_service" }

var messageID = regexp.MustCompile(`<a:MessageID>(urn:uuid:[0-9a-f-]{36})</a:MessageID>`)

func (c *camera) answerProbes() {
	buf := make([]byte, 64<<10)
	for {
		n, from, err := c.udp.ReadFromUDP(buf)
		if err != nil {
			return
		}
		id := messageID.FindSubmatch(buf[:n])
		if id == nil || xml.Unmarshal(buf[:n], new(struct{})) != nil {
			c.t.Errorf("no probe: %s", buf[:n])
			continue
		}
		// cameras repeat themselves
		for _, answer := range []string{"junk", c.match(string(id[1])), c.match(string(id[1]))} {
			_, _ = c.udp.WriteTo([]byte(answer), from)
		}
	}
}

func (c *camera) match(id string) string {
	return `<?xml version="1.0"?><SOAP-ENV:Envelope xmlns:SOAP-ENV="http://www.w3.org/2003/05/soap-envelope" xmlns:wsa="http://schemas.xmlsoap.org/ws/2004/08/addressing"
 xmlns:d="http://schemas.xmlsoap.org/ws/2005/04/discovery"><SOAP-ENV:Header><wsa:RelatesTo>` + id + `</wsa:RelatesTo></SOAP-ENV:Header><SOAP-ENV:Body><d:ProbeMatches>
<d:ProbeMatch><wsa:EndpointReference><wsa:Address>urn:uuid:cam-` + c.name + `</wsa:Address></wsa:EndpointReference><d:Types>dn:NetworkVideoTransmitter</d:Types>
<d:Scopes>onvif://www.onvif.org/type/video_encoder onvif://www.onvif.org/hardware/XC-100 onvif://www.onvif.org/name/` + url.PathEscape(c.name) + `</d:Scopes>
<d:XAddrs>http://[fe80::1]/onvif/device_service http://192.0.2.99/onvif ` + c.address() + `</d:XAddrs></d:ProbeMatch></d:ProbeMatches></SOAP-ENV:Body></SOAP-ENV:Envelope>`
}

func (c *camera) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	text := string(body)
	c.mu.Lock()
	c.heard = append(c.heard, text+fmt.Sprint(r.Header))
	c.mu.Unlock()
	host, rtsp := r.Host, "admin:admin@"+strings.Split(r.Host, ":")[0]+":8554"
	if c.elsewhere {
		host, rtsp = "192.0.2.1:80", "192.0.2.1:8554"
	}
	if !strings.Contains(text, "GetSystemDateAndTime") && c.user != "" && !c.login(w, r, text) {
		return
	}
	answer := ""
	switch {
	case strings.Contains(text, "GetSystemDateAndTime"):
		now := time.Now().Add(c.skew).UTC()
		answer = fmt.Sprintf(`<GetSystemDateAndTimeResponse><SystemDateAndTime><UTCDateTime><Time><Hour>%d</Hour><Minute>%d</Minute><Second>%d</Second></Time>`+
			`<Date><Year>%d</Year><Month>%d</Month><Day>%d</Day></Date></UTCDateTime></SystemDateAndTime></GetSystemDateAndTimeResponse>`,
			now.Hour(), now.Minute(), now.Second(), now.Year(), now.Month(), now.Day())
	case strings.Contains(text, "GetCapabilities"):
		answer = `<GetCapabilitiesResponse><Capabilities><Media><XAddr>http://` + host +
			`/onvif/media</XAddr></Media></Capabilities></GetCapabilitiesResponse>`
	case r.URL.Path == "/onvif/media" && strings.Contains(text, "GetProfiles") || c.elsewhere &&
		strings.Contains(text, "GetProfiles"):
		answer = `<GetProfilesResponse><Profiles token="a&amp;1" fixed="true"><Name>Main</Name><VideoEncoderConfiguration><Encoding>H264</Encoding>` +
			`<Resolution><Width>2560</Width><Height>1440</Height></Resolution><RateControl><FrameRateLimit>25</FrameRateLimit></RateControl></VideoEncoderConfiguration>` +
			`<AudioEncoderConfiguration><Encoding>AAC</Encoding></AudioEncoderConfiguration></Profiles>` +
			`<Profiles token="b"><Name>Sub</Name><VideoEncoderConfiguration><Encoding>H265</Encoding></VideoEncoderConfiguration></Profiles></GetProfilesResponse>`
	case strings.Contains(text, "SetSynchronizationPoint"):
		c.mu.Lock()
		refuses := c.noKeys
		c.mu.Unlock()
		if refuses {
			w.WriteHeader(http.StatusInternalServerError)
			answer = `<e:Fault><e:Code><e:Subcode><e:Value>ter:ActionNotSupported</e:Value></e:Subcode></e:Code></e:Fault>`
			break
		}
		answer = `<SetSynchronizationPointResponse/>`
	case strings.Contains(text, "<ProfileToken>a&amp;1</ProfileToken>"), strings.Contains(text,
		"<ProfileToken>b</ProfileToken>"):
		answer = `<GetStreamUriResponse><MediaUri><Uri>rtsp://` + rtsp +
			`/stream?x=1&amp;y=2</Uri></MediaUri></GetStreamUriResponse>`
	default:
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	fmt.Fprintf(w,
		`<?xml version="1.0"?><e:Envelope xmlns:e="http://www.w3.org/2003/05/soap-envelope"><e:Body>%s</e:Body></e:Envelope>`, answer)
}

func (c *camera) login(w http.ResponseWriter, r *http.Request, text string) bool {
	if c.http {
		if c.digest(r) {
			return true
		}
		w.Header().Set("WWW-Authenticate", `Digest realm="cam, x", nonce="n1", qop="auth", opaque="o"`)
		w.WriteHeader(http.StatusUnauthorized)
		return false
	}
	var e struct {
		User    string `xml:"Header>Security>UsernameToken>Username"`
		Digest  string `xml:"Header>Security>UsernameToken>Password"`
		Nonce   string `xml:"Header>Security>UsernameToken>Nonce"`
		Created string `xml:"Header>Security>UsernameToken>Created"`
	}
	err := xml.Unmarshal([]byte(text), &e)
	nonce, _ := base64.StdEncoding.DecodeString(e.Nonce)
	sum := sha1.Sum([]byte(string(nonce) + e.Created + c.pass))
	at, _ := time.Parse(time.RFC3339Nano, e.Created)
	off := at.Sub(time.Now().Add(c.skew))
	if err == nil && e.User == c.user && e.Digest == base64.StdEncoding.EncodeToString(sum[:]) && off < 5*time.Second &&
		off > -5*time.Second {
		return true
	}
	w.WriteHeader(http.StatusBadRequest) // as gSOAP does
	fmt.Fprint(w,
		`<e:Envelope xmlns:e="http://www.w3.org/2003/05/soap-envelope"><e:Body><e:Fault><e:Code><e:Subcode><e:Value>ter:NotAuthorized</e:Value></e:Subcode></e:Code></e:Fault></e:Body></e:Envelope>`)
	return false
}

// digest checks RFC 7616 by hand.
func (c *camera) digest(r *http.Request) bool {
	p := map[string]string{}
	for _, m := range regexp.MustCompile(`(\w+)="?([^",]*(?:, x)?)"?`).FindAllStringSubmatch(r.Header.Get("Authorization"), -1) {
		p[m[1]] = m[2]
	}
	h := func(s string) string { sum := md5.Sum([]byte(s)); return hex.EncodeToString(sum[:]) }
	want := h(h(c.user+":cam, x:"+c.pass) + ":n1:" + p["nc"] + ":" + p["cnonce"] + ":auth:" +
		h("POST:"+r.URL.RequestURI()))
	return p["username"] == c.user && p["response"] == want && p["opaque"] == "o" && p["uri"] == r.URL.RequestURI()
}

func TestDiscover(t *testing.T) {
	c := (&camera{t: t, name: "Front door"}).start()
	devices, err := onvif.Discover(t.Context(), onvif.Options{Target: c.target(), Wait: 300 * time.Millisecond})
	if err != nil || len(devices) != 1 {
		t.Fatalf("%+v, %v, want one camera", devices, err)
	}
	if d := devices[0]; d.Name != "Front door" || d.Model != "XC-100" || d.Address != c.address() ||
		d.Host != "127.0.0.1" || d.ID != "urn:uuid:cam-Front door" {
		t.Errorf("%+v", d)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	begin := time.Now()
	if _, err := onvif.Discover(ctx, onvif.Options{Target: c.target(), Wait: time.Minute}); err != nil ||
		time.Since(begin) > 5*time.Second {
		t.Errorf("%v after %v", err, time.Since(begin))
	}
	if _, err := onvif.Discover(t.Context(), onvif.Options{Interface: "nosuch0"}); err == nil ||
		!strings.Contains(err.Error(), `no interface "nosuch0"`) {
		t.Errorf("%v", err)
	}
}

func TestProfiles(t *testing.T) {
	for name, c := range map[string]*camera{
		"open":           {},
		"ws-security":    {user: "admin", pass: "s&same"},
		"its clock":      {user: "admin", pass: "sesame", skew: -24 * 365 * time.Hour},
		"http digest":    {user: "admin", pass: "sesame", http: true},
		"behind a NAT":   {elsewhere: true},
		"NAT and digest": {user: "admin", pass: "sesame", http: true, elsewhere: true},
	} {
		t.Run(name, func(t *testing.T) {
			c.t = t
			c.start()
			profiles, err := onvif.Profiles(t.Context(), c.address(), onvif.Login{Username: c.user, Password: c.pass})
			if err != nil {
				t.Fatal(err)
			}
			want := []onvif.Profile{
				{Token: "a&1", Name: "Main", Codec: "H264", Width: 2560, Height: 1440, FPS: 25, Audio: "AAC",
					URI: "rtsp://127.0.0.1:8554/stream?x=1&y=2"},
				{Token: "b", Name: "Sub", Codec: "H265", URI: "rtsp://127.0.0.1:8554/stream?x=1&y=2"},
			}
			if len(profiles) != 2 || profiles[0] != want[0] || profiles[1] != want[1] {
				t.Errorf("have %+v\nwant %+v", profiles, want)
			}
			for _, text := range c.heard {
				if strings.Contains(text, "sesame") || strings.Contains(text, "s&amp;same") {
					t.Errorf("the password was sent: %s", text)
				}
			}
		})
	}
}

func TestErrors(t *testing.T) {
	for _, c := range []*camera{{user: "admin", pass: "sesame"}, {user: "admin", pass: "sesame", http: true}} {
		c.t = t
		c.start()
		for _, login := range []onvif.Login{{}, {Username: "admin", Password: "wrong"}} {
			if _, err := onvif.Profiles(t.Context(), c.address(), login); !errors.Is(err, onvif.ErrLogin) {
				t.Errorf("%+v: %v", login, err)
			}
		}
	}
	for name, tt := range map[string]struct {
		serve http.HandlerFunc
		want  string
	}{
		"a web page": {func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html><br></html>") }, "no SOAP"},
		"404": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) },
			"HTTP status 404; hint: is ONVIF switched on"},
		"redirect": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://192.0.2.1/", http.StatusFound)
		}, "HTTP status 302"},
		"endless": {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 2<<20)) }, "more than"},
		"basic": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
			w.WriteHeader(http.StatusUnauthorized)
		}, "refused"},
	} {
		s := httptest.NewServer(tt.serve)
		if _, err := onvif.Profiles(t.Context(), s.URL,
			onvif.Login{Username: "admin", Password: "sesame"}); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %s", name, err, tt.want)
		}
		s.Close()
	}
}

// TestKeyFrames: the camera is asked once for the profile of a stream, and then for key frames of that profile; a
// camera that makes none returns an error.
func TestKeyFrames(t *testing.T) {
	c := (&camera{t: t, user: "admin", pass: "secret"}).start()
	ask := func(uri string) (*onvif.Stream, error) {
		t.Helper()
		s, err := onvif.NewStream(c.address(), onvif.Login{Username: "admin", Password: "secret"}, uri)
		if err != nil {
			t.Fatal(err)
		}
		return s, s.RequestKeyFrame(t.Context())
	}
	s, err := ask("rtsp://192.0.2.99/stream?x=1&y=2") // another host: the camera is behind a NAT
	if err != nil {
		t.Fatal(err)
	}
	if err := s.RequestKeyFrame(t.Context()); err != nil {
		t.Error(err)
	}
	c.mu.Lock()
	keys, profiles := 0, 0
	for _, text := range c.heard {
		keys += strings.Count(text, "<SetSynchronizationPoint")
		profiles += strings.Count(text, "<GetProfiles")
	}
	c.mu.Unlock()
	if keys != 2 || profiles != 1 {
		t.Errorf("the camera was asked for %d key frames and %d times for its profiles, want 2 and once", keys,
			profiles)
	}
	if _, err := ask("rtsp://192.0.2.99/other"); !errors.Is(err, onvif.ErrUnsupported) ||
		!strings.Contains(err.Error(), "/other") {
		t.Errorf("a stream that is not the camera's: %v", err)
	}
	c.mu.Lock()
	c.noKeys = true
	c.mu.Unlock()
	if err := s.RequestKeyFrame(t.Context()); !errors.Is(err, onvif.ErrUnsupported) {
		t.Errorf("a camera that makes no key frames: %v", err)
	}
}
