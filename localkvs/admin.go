package localkvs

import (
	"errors"
	"net"
	"net/http"
	"net/url"
	"strings"
)

// serveAdmin serves everything under /localkvs/, which the real service does not have. It needs no signature, so it
// answers only under this machine's names, and not to web pages of other origins.
func (s *Server) serveAdmin(w http.ResponseWriter, r *http.Request) bool {
	if !strings.HasPrefix(r.URL.Path, "/localkvs/") {
		return false
	}
	if !s.trusted(r) {
		http.Error(w, "only for pages and tools that address this service by its own name", http.StatusForbidden)
		return true
	}
	switch r.Method + " " + r.URL.Path {
	case "GET /localkvs/", "GET /localkvs/page.js", "GET /localkvs/page.css":
		w.Header().Set("Content-Security-Policy", "default-src 'self'; img-src data:; frame-ancestors 'none'")
		http.StripPrefix("/localkvs/", http.FileServerFS(pageFiles())).ServeHTTP(w, r)
	case "GET /localkvs/state":
		writeJSON(w, http.StatusOK, s.State())
	case "GET /localkvs/faults":
		writeJSON(w, http.StatusOK, s.Faults())
	case "POST /localkvs/faults":
		s.postFaults(w, r)
	default:
		http.NotFound(w, r)
	}
	return true
}

// trusted keeps out other sites' pages: by Origin, and by Host against names that resolve to this machine.
func (s *Server) trusted(r *http.Request) bool {
	u := url.URL{Host: r.Host}
	name := strings.ToLower(u.Hostname())
	if net.ParseIP(name) == nil && name != "localhost" && !strings.HasSuffix(name, ".localhost") {
		return false
	}
	origin := r.Header.Get("Origin")
	return origin == "" || origin == "http://"+r.Host || origin == "https://"+r.Host
}

// postFaults runs one Step, such as {"set": {"delay": "2s"}, "do": [{"do": "go_away", "channel": "cam1"}]}.
func (s *Server) postFaults(w http.ResponseWriter, r *http.Request) {
	body, failed := readBody(w, r)
	if failed != nil {
		http.Error(w, failed.Error(), failed.status)
		return
	}
	var st Step
	err := strictly(body, &st)
	if err == nil && st.After != 0 {
		err = errors.New("after: only for scripts")
	}
	var met []int
	if err == nil {
		met, err = s.step(st)
	}
	if err != nil {
		http.Error(w, "faults: "+err.Error(), http.StatusBadRequest)
		return
	}
	writeJSON(w, http.StatusOK, struct {
		Connections []int  `json:"connections"` // that each action reached
		Faults      Faults `json:"faults"`
	}{met, s.Faults()})
}
