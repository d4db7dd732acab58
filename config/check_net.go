package config

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/crypto/bcrypt"
)

// hostName matches a host name without limiting its length, since counting costs a regexp much memory.
var hostName = regexp.MustCompile(`^[a-zA-Z0-9_]([a-zA-Z0-9_.-]*[a-zA-Z0-9_.])?$`)

// goodHost reports whether a host is a name or an IP address.
func goodHost(h string) bool {
	if len(h) <= 253 && hostName.MatchString(h) {
		return true
	}
	_, err := netip.ParseAddr(h)
	return err == nil
}

// goodPort reports whether a URL has a valid port or none.
func goodPort(u *url.URL) bool {
	if u.Port() == "" {
		return !strings.HasSuffix(u.Host, ":")
	}
	p, err := strconv.Atoi(u.Port())
	return err == nil && p >= 1 && p <= 65535
}

// status checks who may see the status page, and where.
func (c *checker) status(m *mark, s *Status) {
	at := m.at("listen")
	c.listen(at, s.Listen)
	if path, ok := strings.CutPrefix(s.Listen, "unix:"); ok {
		s.Listen = c.socket(at, path)
	}
	if !at.bad && !s.Off() && len(s.Users) == 0 && !s.Open && !local(s.Listen) {
		c.fail(at, "everybody who can reach "+s.Listen+" would see the pictures and could change things",
			"name users, or write open: true if that is meant; metrics_listen is for metrics and health alone")
	}
	if len(s.Users) > 0 && s.TLS == nil && !local(s.Listen) && !s.Off() {
		c.cfg.warnings = append(c.cfg.warnings, fmt.Sprintf("%s:%d: passwords for %s can be read on their way; "+
			"hint: status.tls", c.file, at.line, s.Listen))
	}
	for name, hash := range s.Users {
		if _, err := bcrypt.Cost([]byte(hash)); err != nil {
			c.fail(m.at("users").at(name), "not a bcrypt hash",
				"the output of kvsagent hash, or what stands behind NAME: in that of htpasswd -nBC 10 NAME")
		}
	}
	if t := s.TLS; t != nil {
		c.certificates(m.at("tls").at("certificate"), &t.Certificate)
		c.privateKey(m.at("tls").at("private_key"), &t.PrivateKey)
	}
	if s.MetricsListen != "" {
		at := m.at("metrics_listen")
		c.listen(at, s.MetricsListen)
		if path, ok := strings.CutPrefix(s.MetricsListen, "unix:"); ok {
			s.MetricsListen = c.socket(at, path)
		}
		if !at.bad && s.MetricsListen == s.Listen && !s.Off() {
			c.fail(at, "the same address as listen", "leave it out: listen serves metrics and health, too")
		}
	}
}

// longestSocket is how long the path of a Unix socket may be (unix(7)).
const longestSocket = 107

// socket makes the path of a Unix socket absolute.
func (c *checker) socket(m *mark, path string) string {
	if path = c.path(path); len(path) > longestSocket && !m.bad {
		c.fail(m, fmt.Sprintf("the path of a socket may have %d bytes, and this one has %d", longestSocket, len(path)),
			"a short one, such as unix:/run/kvsagent/status.sock")
	}
	return "unix:" + path
}

// local says whether an address can be reached from this host alone.
func local(addr string) bool {
	if strings.HasPrefix(addr, "unix:") {
		return true
	}
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && a.IsLoopback()
}

// listen checks an address to listen on.
func (c *checker) listen(m *mark, addr string) {
	if m.bad || addr == "off" {
		return
	}
	const hint = "HOST:PORT, such as 127.0.0.1:9780, unix:PATH, or off"
	if path, ok := strings.CutPrefix(addr, "unix:"); ok {
		if path == "" {
			c.fail(m, "no path after unix:", hint)
		}
		return
	}
	host, port, err := net.SplitHostPort(addr)
	p, perr := strconv.Atoi(port)
	switch {
	case err != nil:
		c.fail(m, "want an address and a port, have "+quote(m.text), hint)
	case host == "":
		c.fail(m, "no address before the port", hint+"; 0.0.0.0:9780, with users, is for other hosts")
	case !goodHost(host):
		c.fail(m, "bad address in "+quote(m.text), hint)
	case perr != nil || p < 0 || p > 65535:
		c.fail(m, "bad port in "+quote(m.text), "0 to 65535")
	}
}

// webrtc checks how media travels.
func (c *checker) webrtc(m *mark, w *WebRTC) {
	for i := range w.ICEServers {
		c.iceServer(m.at("ice_servers").item(i), &w.ICEServers[i])
	}
	if w.ICETransportPolicy == "relay" && !w.KVSTURN && !slices.ContainsFunc(w.ICEServers, ICEServer.relays) {
		c.fail(m.at("ice_transport_policy"), "relay, but there is no TURN server",
			"set kvs_turn to true, or name one in ice_servers")
	}
	c.secret(m, "proxy", &w.Proxy, &w.ProxyFile)
	c.proxy(m, string(w.Proxy))
}

// proxy checks the URL of a proxy. Messages do not show it: it may hold a password.
func (c *checker) proxy(m *mark, raw string) {
	pm := m.at("proxy")
	if !m.has("proxy") {
		pm = m.at("proxy_file")
	}
	if raw == "" || raw == "off" || pm.bad {
		return
	}
	const hint = "http://HOST:PORT or https://HOST:PORT, with USER:PASSWORD@ before the host if need be, or off"
	u, err := url.Parse(raw)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https":
		c.fail(pm, "not the URL of an HTTP proxy", hint)
	case !goodHost(u.Hostname()) || !goodPort(u):
		c.fail(pm, "bad host or port", hint)
	case strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		c.fail(pm, "something follows the host", hint)
	}
}

// iceServer checks the URLs of a STUN or TURN server (RFC 7064, RFC 7065), and that TURN has a user and a password.
func (c *checker) iceServer(m *mark, s *ICEServer) {
	c.secret(m, "credential", &s.Credential, &s.CredentialFile)
	for i, raw := range s.URLs {
		if um := m.at("urls").item(i); !um.bad {
			c.iceURL(um, raw)
		}
	}
	auth := m.has("credential") || m.has("credential_file")
	if s.relays() && (!m.has("username") || !auth) {
		c.fail(m, "a TURN server needs username and credential", "add username and credential_file")
	}
}

// relays reports whether one of its URLs is that of a TURN server.
func (s ICEServer) relays() bool {
	return slices.ContainsFunc(s.URLs, func(url string) bool { return strings.HasPrefix(url, "turn") })
}

func (c *checker) iceURL(m *mark, raw string) {
	const hint = "stun:HOST:PORT, turn:HOST:PORT?transport=udp or turns:HOST:PORT"
	scheme, rest, _ := strings.Cut(raw, ":")
	turn := scheme == "turn" || scheme == "turns"
	if !turn && scheme != "stun" {
		c.fail(m, "not a STUN or TURN address", hint)
		return
	}
	if strings.Contains(rest, "@") {
		c.fail(m, "user or password in the URL", "use username and credential_file")
		return
	}
	rest, query, hasQuery := strings.Cut(rest, "?")
	u, err := url.Parse("//" + rest)
	switch {
	case strings.HasPrefix(rest, "//"):
		c.fail(m, "no slashes belong here", hint)
	case err != nil || u.Path != "" || u.Fragment != "" || !goodHost(u.Hostname()) || !goodPort(u):
		c.fail(m, "bad host or port", hint)
	case hasQuery && (!turn || query != "transport=udp" && query != "transport=tcp"):
		c.fail(m, "only ?transport=udp or ?transport=tcp may follow a TURN address", hint)
	}
}
