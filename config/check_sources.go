package config

import (
	"net/url"
	"strings"
)

// sourceForms is the hint for an unusable source URL.
const sourceForms = "rtsp://HOST/PATH, v4l2:/dev/video0, libcamera:, exec:COMMAND, file:PATH, rtp:FILE.sdp, " +
	"mpegts://HOST:PORT or testpattern"

// source checks a source's URL, and moves user and password out of it.
func (c *checker) source(m *mark, s *Source) {
	c.secret(m, "password", &s.Password, &s.PasswordFile)
	um := m.at("url")
	if m.has("url") && !um.bad {
		c.sourceURL(m, um, s)
	}
	if sm := m.at("sub"); m.has("sub") && !sm.bad && !um.bad {
		c.sub(m, sm, s)
	}
	if om := m.at("onvif"); m.has("onvif") && !om.bad {
		c.onvif(om, s)
	}
	if s.PrivacyFile != "" {
		s.PrivacyFile = c.path(s.PrivacyFile)
	}
	if m.has("linger") && s.KeepWarm {
		c.fail(m.at("linger"), "keep_warm keeps the source running for ever", "keep one of them")
	}
	if m.has("password") || m.has("password_file") {
		if !m.has("username") && s.Username == "" && !um.bad {
			c.fail(m, "a password without username", "add username")
		}
	}
}

// onvif checks the URL of a camera's device service. Messages do not show it: it may hold a password.
func (c *checker) onvif(om *mark, s *Source) {
	const hint = "http://HOST/onvif/device_service"
	u, err := url.Parse(s.ONVIF)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https":
		c.fail(om, "not a URL of http or https", hint)
	case !goodHost(u.Hostname()) || !goodPort(u):
		c.fail(om, "bad host or port", hint)
	case u.User != nil:
		c.fail(om, "user and password in the URL", "those of the source count here, too")
	}
}

// sub checks the URL of the smaller stream.
func (c *checker) sub(m, sm *mark, s *Source) {
	kind, _, _ := strings.Cut(s.URL, ":")
	if scheme, _, _ := strings.Cut(s.Sub, ":"); scheme != kind {
		c.fail(sm, "another kind of source than url", "a smaller stream of the same camera, "+kind+":...")
		return
	}
	sub := *s
	sub.URL, sub.Args = s.Sub, nil
	if !m.has("username") {
		sub.Username, sub.Password = "", ""
	}
	c.sourceURL(m, sm, &sub)
	if sub.Username != "" && (sub.Username != s.Username || sub.Password != s.Password) {
		c.fail(sm, "another user or password than in url", "one login serves both")
	}
	s.Sub = sub.URL
}

// sourceURL checks the URL itself. What only the kind of source can judge, such as the options of a test pattern, is
// checked when the source is made, which kvsagent validate does, too.
func (c *checker) sourceURL(m, um *mark, s *Source) {
	scheme, rest, found := strings.Cut(s.URL, ":")
	switch {
	case s.URL == "testpattern" || s.URL == "libcamera":
		s.URL += ":"
	case !found:
		c.fail(um, "no scheme", sourceForms)
	case scheme == "rtsp" || scheme == "rtsps":
		c.rtsp(m, um, s)
	case scheme == "file":
		c.mediaFile(um, s, rest)
	case scheme == "rtp":
		c.sdpFile(um, s, rest)
	case scheme == "mpegts":
		c.mpegts(um, s)
	case scheme == "exec":
		if strings.TrimSpace(rest) == "" && len(s.Args) == 0 {
			c.fail(um, "no command", "exec:ffmpeg ... -f mpegts -")
		}
	case scheme == "v4l2":
		if !strings.HasPrefix(rest, "/dev/") {
			c.fail(um, "no device",
				"v4l2:/dev/video0, better v4l2:/dev/v4l/by-id/..., which stays when it is plugged elsewhere")
		}
	case scheme == "testpattern":
		if rest != "" && !strings.HasPrefix(rest, "?") {
			c.fail(um, "only ?key=value may follow testpattern:", "testpattern:?size=640x360&rate=15")
		}
	case scheme == "libcamera":
	default:
		c.fail(um, "unknown kind of source", sourceForms)
	}
	if um.bad {
		return
	}
	if scheme != "rtsp" && scheme != "rtsps" {
		for _, key := range []string{"username", "password", "password_file"} {
			if m.has(key) {
				c.fail(m.at(key), "only rtsp:// has a user and a password", "remove it")
			}
		}
		for _, key := range []string{"transport", "fingerprint", "basic_auth", "onvif"} {
			if m.has(key) {
				c.fail(m.at(key), "only rtsp:// has this", "remove it")
			}
		}
	}
	if scheme == "rtsps" && (s.Transport == "udp" || s.Transport == "multicast") {
		c.fail(m.at("transport"), s.Transport+" would take the picture out of TLS", "tcp or http")
	}
	if scheme == "rtsp" && s.Fingerprint != "" {
		c.fail(m.at("fingerprint"), "there is no certificate without TLS", "rtsps://, or remove it")
	}
	for _, key := range []string{"args", "control"} {
		if scheme != "exec" && m.has(key) {
			c.fail(m.at(key), "only exec: has "+key, "remove it")
		}
	}
}

// rtsp checks a camera's URL. Messages show no part of it, since the password may be in any part of a malformed URL.
func (c *checker) rtsp(m, um *mark, s *Source) {
	const hint = "rtsp://HOST[:PORT]/PATH, such as rtsp://192.0.2.10:554/stream1"
	u, err := url.Parse(s.URL)
	switch {
	case err != nil:
		c.fail(um, "not a URL", hint+"; put user and password under username and password_file")
	case !goodHost(u.Hostname()):
		c.fail(um, "no host, or not a host's name", hint)
	case !goodPort(u):
		c.fail(um, "bad port", "1 to 65535; 554 is usual")
	case u.Fragment != "":
		c.fail(um, "options after # are not known here", "remove # and what follows")
	case u.User != nil && (m.has("username") || m.has("password") || m.has("password_file")):
		c.fail(um, "user or password stand in the URL and beside it", "take them out of the URL")
	}
	if um.bad || u.User == nil {
		return
	}
	pw, _ := u.User.Password()
	s.Username, s.Password = u.User.Username(), Secret(pw)
	u.User = nil
	s.URL = u.String()
}

// mpegts checks the address that a transport stream arrives at.
func (c *checker) mpegts(um *mark, s *Source) {
	u, err := url.Parse(s.URL)
	if err != nil || u.Port() == "" || !goodPort(u) || u.Path != "" || u.User != nil || u.Fragment != "" {
		c.fail(um, "not an address with a port",
			"mpegts://127.0.0.1:5000, or mpegts://239.0.0.1:5000?interface=eth0 for multicast")
	}
}

// sdpFile makes the path of an SDP file absolute.
func (c *checker) sdpFile(um *mark, s *Source, rest string) {
	path, query, found := strings.Cut(rest, "?")
	if path == "" || strings.HasPrefix(path, "//") {
		c.fail(um, "no SDP file", "rtp:PATH, such as rtp:/etc/kvsagent/encoder.sdp")
		return
	}
	s.URL = "rtp:" + c.path(path)
	if found {
		s.URL += "?" + query
	}
}

// mediaFile makes the path of a file absolute. The file is opened when it is needed: it may be on a disk that is
// mounted later.
func (c *checker) mediaFile(um *mark, s *Source, path string) {
	if strings.HasPrefix(path, "//") {
		path = path[2:]
		if !strings.HasPrefix(path, "/") {
			c.fail(um, "a file's URL has no host", "file:PATH or file:///PATH")
			return
		}
	}
	if path == "" {
		c.fail(um, "no path", "file:PATH, such as file:/srv/video/loop.mp4")
		return
	}
	s.URL = "file:" + c.path(path)
}
