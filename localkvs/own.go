package localkvs

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
)

// serveOwn answers what the real service does not have: everything under /localkvs/. It needs no signature, so it answers only to
// this machine's names and not to web pages of other origins.
func (s *Server) serveOwn(w http.ResponseWriter, r *http.Request) bool {
	if !strings.HasPrefix(r.URL.Path, "/localkvs/") {
		return false
	}
	if !s.trusted(r) {
		http.Error(w, "only for pages and tools that address this service by its own name", http.StatusForbidden)
		return true
	}
	switch r.Method + " " + r.URL.Path {
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

// trusted keeps other sites' pages away: by Origin, and by Host against names that were pointed at this machine.
func (s *Server) trusted(r *http.Request) bool {
	u := url.URL{Host: r.Host}
	name := strings.ToLower(u.Hostname())
	if net.ParseIP(name) == nil && name != "localhost" && !strings.HasSuffix(name, ".localhost") {
		return false
	}
	origin := r.Header.Get("Origin")
	return origin == "" || origin == "http://"+r.Host || origin == "https://"+r.Host
}

// postFaults sets faults, does actions, or both:
//
//	{"set": {"clock_offset": 600000000000}, "do": [{"do": "go_away", "channel": "cam1"}]}
func (s *Server) postFaults(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Set *Faults  `json:"set"`
		Do  []Action `json:"do"`
	}
	d := json.NewDecoder(io.LimitReader(r.Body, maxBody))
	d.DisallowUnknownFields()
	if err := d.Decode(&in); err != nil {
		http.Error(w, "faults: "+err.Error(), http.StatusBadRequest)
		return
	}
	for _, a := range in.Do {
		if _, err := a.effect(); err != nil {
			http.Error(w, "faults: "+err.Error(), http.StatusBadRequest)
			return
		}
	}
	if in.Set != nil {
		s.SetFaults(*in.Set)
	}
	out := struct {
		Connections []int  `json:"connections"`
		Faults      Faults `json:"faults"`
	}{[]int{}, s.Faults()}
	for _, a := range in.Do {
		n, _ := s.Act(a) // checked above
		out.Connections = append(out.Connections, n)
	}
	writeJSON(w, http.StatusOK, out)
}
