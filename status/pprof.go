package status

import (
	"net"
	"net/http"
	"net/http/pprof"
	"net/netip"
	"time"
)

// profiles serves Go profiles to this host. They reveal what is in memory and cost time, so nobody else gets them.
func profiles(mux *http.ServeMux) {
	mux.HandleFunc("GET /debug/pprof/", fromHere(pprof.Index))
	mux.HandleFunc("GET /debug/pprof/profile", fromHere(pprof.Profile))
	mux.HandleFunc("GET /debug/pprof/trace", fromHere(pprof.Trace))
}

func fromHere(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		host, _, err := net.SplitHostPort(r.RemoteAddr)
		a, perr := netip.ParseAddr(host)
		if err != nil || perr != nil || !a.Unmap().IsLoopback() {
			(&Problem{Status: http.StatusForbidden, Text: "profiles are for this host only",
				Hint: "fetch them there, or through an SSH tunnel"}).write(w)
			return
		}
		// A CPU profile takes longer than other answers.
		_ = http.NewResponseController(w).SetWriteDeadline(time.Time{})
		next(w, r)
	}
}
