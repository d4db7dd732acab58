package status

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"log/slog"
	"net/http"
)

// Options configures the handler. The zero value shows an empty report on loopback.
type Options struct {
	// Report returns the state of the agent. It is called once for each request, from many goroutines. Default: an
	// empty report.
	Report func() Report

	// Stuck returns the loops of the agent that do not go on. It must not wait for any. Default: none.
	Stuck func() []Stuck

	// Watch plays a KVS viewer for the page. It sends the offer (SDP with all of the page's candidates) to the master
	// of the channel (Channel.Name), and calls send for the answer and for each candidate that comes back, until ctx is
	// done or signaling ends. It may call send from several goroutines; when send returns an error the page is gone.
	// Return a *Problem to choose the HTTP status and to give a hint; any other error is a 502. Default: no picture.
	Watch func(ctx context.Context, channel, offer string, send func(Signal) error) error

	// Privacy sets the privacy switch of a source (Source.Name). Return a *Problem to choose the HTTP status; any other
	// error is a 502. Default: there is no switch.
	Privacy func(source string, on bool) error

	// Snapshot returns the newest picture of a source (Source.Name) in a format (jpg, h264, h265, ivf). Return a
	// *Problem to choose the HTTP status; any other error is a 502. Default: none.
	Snapshot func(ctx context.Context, source, format string) (Snapshot, error)

	// Offer makes the master of a channel (Channel.Name) offer to a client. Return a *Problem to choose the HTTP
	// status; any other error is a 502. Default: none.
	Offer func(ctx context.Context, channel, client string) error

	// Reload reads the config again and returns what came of it. Return a *Problem to choose the HTTP status; any other
	// error is a 422. Default: none.
	Reload func(ctx context.Context) error

	// Hosts are the names, without port, that the Host header may contain besides the loopback ones. Default: none.
	Hosts []string

	// Users may log in, each by the bcrypt hash of its password. Default: no login.
	Users map[string]string

	// Certificate is for HTTPS. Default: HTTP.
	Certificate *tls.Certificate

	// MetricsOnly serves /metrics, /healthz and /readyz and nothing else. Default: everything.
	MetricsOnly bool

	// Pprof serves Go profiles under /debug/pprof/, to this host only. Default: off.
	Pprof bool

	// Log receives errors. Default: none.
	Log *slog.Logger
}

// withDefaults fills in the defaults.
func (o Options) withDefaults() Options {
	if o.Report == nil {
		o.Report = func() Report { return Report{} }
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

// Handler serves the routes of the package comment.
func Handler(o Options) http.Handler {
	o = o.withDefaults()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", healthz)
	mux.Handle("GET /readyz", readyz(o.Report, o.Stuck))
	mux.Handle("GET /metrics", metrics(o.Report, o.Log))
	if o.MetricsOnly {
		return contained(o.Log, guard(o.Hosts, mux))
	}
	mux.Handle("GET /api/v1/report", report(o.Report))
	mux.Handle("POST /api/v1/reload", reload(o))
	mux.Handle("POST /api/v1/channels/{name}/watch", newWatching(o))
	mux.Handle("POST /api/v1/channels/{name}/offers", offers(o))
	mux.Handle("PUT /api/v1/sources/{name}/privacy", privacy(o))
	for format, kind := range snapshotTypes {
		mux.Handle("GET /api/v1/sources/{name}/snapshot."+format, snapshot(o, format, kind))
	}
	if o.Pprof {
		profiles(mux)
	}
	page(mux)
	return contained(o.Log, guard(o.Hosts, withLogin(o, mux)))
}

func report(get func() Report) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, filled(get()))
	})
}

// filled returns r with empty lists in place of nil ones, so that readers of the JSON can loop without checks.
func filled(r Report) Report {
	r.Sources = append([]Source{}, r.Sources...)
	for i := range r.Sources {
		r.Sources[i].Tracks = append([]Track{}, r.Sources[i].Tracks...)
	}
	r.Channels = append([]Channel{}, r.Channels...)
	for i := range r.Channels {
		r.Channels[i].Peers = append([]Peer{}, r.Channels[i].Peers...)
	}
	return r
}

// writeJSON answers with v, indented for people who read it in a terminal.
func writeJSON(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	_ = e.Encode(v) // the client is gone
}
