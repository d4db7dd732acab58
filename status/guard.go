package status

import (
	"mime"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// policy allows the page to load its own files and to talk to its own server, and nothing else.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"media-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// guard sets the security headers and refuses what other sites' pages could send through a browser on this machine.
func guard(hosts []string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		if p := refusal(hosts, r); p != nil {
			p.write(w)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// refusal returns why r is refused, or nil.
func refusal(hosts []string, r *http.Request) *Problem {
	if !hostAllowed(hosts, r.Host) {
		return &Problem{
			Status: http.StatusMisdirectedRequest,
			Text:   "this server does not answer to the host name in the request",
			Hint: "open it by its IP address or as localhost, or list the name under status.hosts in the " +
				"configuration",
		}
	}
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		return nil
	case http.MethodPost, http.MethodPut:
		return postRefusal(r)
	}
	return &Problem{Status: http.StatusMethodNotAllowed, Text: "the method is not allowed",
		Hint: "use GET, HEAD, POST or PUT"}
}

// postRefusal allows POST and PUT only from our own page: a form on another site cannot send JSON, and a script on
// another site cannot hide its origin.
func postRefusal(r *http.Request) *Problem {
	if !sameOrigin(r) {
		return &Problem{
			Status: http.StatusForbidden,
			Text:   "the request does not come from this server's own page",
			Hint:   "outside a browser, send the header Origin with the scheme and host of this server",
		}
	}
	if t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || t != "application/json" {
		return &Problem{
			Status: http.StatusUnsupportedMediaType,
			Text:   "the body is not JSON by its content type",
			Hint:   "send the header Content-Type: application/json",
		}
	}
	return nil
}

// sameOrigin trusts Sec-Fetch-Site, which no script can set. Where the browser sends none (plain HTTP beyond loopback),
// it trusts the Origin.
func sameOrigin(r *http.Request) bool {
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" {
		return site == "same-origin"
	}
	origin, err := url.Parse(r.Header.Get("Origin"))
	if err != nil || origin.Scheme != "http" && origin.Scheme != "https" {
		return false
	}
	return strings.EqualFold(origin.Host, r.Host)
}

// hostAllowed reports whether a Host header is localhost, an IP address or one of hosts, with any port. A page of
// another site that points its own name at this host (DNS rebinding) sends that name. An IP address was typed by a
// user.
func hostAllowed(hosts []string, hostport string) bool {
	name := hostName(hostport)
	if name == "localhost" || strings.HasSuffix(name, ".localhost") {
		return true // RFC 6761 section 6.3: never looked up in the DNS
	}
	if a, err := netip.ParseAddr(name); err == nil && !a.IsUnspecified() {
		return true
	}
	return slices.ContainsFunc(hosts, func(h string) bool { return name != "" && hostName(h) == name })
}

// hostName removes the port, the brackets of IPv6 and the root's dot, and lowers the case.
func hostName(hostport string) string {
	name, _, err := net.SplitHostPort(hostport)
	if err != nil {
		name = strings.TrimSuffix(strings.TrimPrefix(hostport, "["), "]")
	}
	return strings.ToLower(strings.TrimSuffix(name, "."))
}
