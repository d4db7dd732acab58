package config

import (
	"net/url"
	"strings"
)

// source checks a source's address, and takes user and password out of it.
func (c *checker) source(m *mark, s *Source) {
	c.secret(m, "password", &s.Password, &s.PasswordFile)
	um := m.at("url")
	if m.has("url") && !um.bad {
		scheme, rest, found := strings.Cut(s.URL, ":")
		switch {
		case s.URL == "testpattern":
			s.URL = "testpattern:"
		case !found:
			c.fail(um, "no scheme", "rtsp://HOST/PATH, file:PATH or testpattern")
		case scheme == "rtsp":
			c.rtsp(m, um, s)
		case scheme == "file":
			c.mediaFile(um, s, rest)
		case scheme == "testpattern":
			if rest != "" && !strings.HasPrefix(rest, "?") {
				c.fail(um, "only ?key=value may follow testpattern:", "testpattern:?size=640x360&rate=15")
			}
		case scheme == "rtsps":
			c.fail(um, "rtsps is not supported yet", "rtsp://, in a network that you trust")
		default:
			c.fail(um, "unknown kind of source", "rtsp://HOST/PATH, file:PATH or testpattern")
		}
		if scheme != "rtsp" && !um.bad {
			for _, key := range []string{"username", "password", "password_file"} {
				if m.has(key) {
					c.fail(m.at(key), "only rtsp:// has a user and a password", "remove it")
				}
			}
		}
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

// rtsp checks a camera's URL. Nothing of the URL is shown, for the password may be in any part of a URL with a mistake in it.
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

// mediaFile makes the path of a file absolute. It is opened when it is needed: it may be on a disk that comes later.
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
