package localkvs

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"net/http"
	"strconv"

	"github.com/gorilla/websocket"
)

// handle dispatches requests: everything under /localkvs/, WebSocket upgrades on any path, and calls. ctx is the
// service's; upgraded connections end with it.
func (s *Server) handle(ctx context.Context, w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Date", s.now().UTC().Format(http.TimeFormat))
	if s.serveAdmin(w, r) {
		return
	}
	h.Set("x-amzn-RequestId", requestID())
	allowOrigins(h, r)
	if r.Method == http.MethodOptions {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	if websocket.IsWebSocketUpgrade(r) {
		if s.faults.refuseConnect(w) {
			return
		}
		if err := s.connect(ctx, w, r); err != nil {
			s.opts.Log.Info("connection refused", "err", err, "remote", r.RemoteAddr)
			writeError(w, err)
		}
		return
	}
	if alias, ok := roleAlias(r.URL.Path); ok {
		s.serveCredentials(w, r, alias)
		return
	}
	op, ok := s.ops[r.URL.Path]
	if !ok {
		writeError(w, &apiError{http.StatusNotFound, "UnknownOperationException", "there is no such call"})
		return
	}
	if s.faults.refuseCall(w, op.name) {
		return
	}
	out, err := s.serveCall(ctx, w, r, op)
	if err != nil {
		s.opts.Log.Info("call refused", "op", op.name, "err", err, "remote", r.RemoteAddr)
		writeError(w, err)
		return
	}
	s.opts.Log.Debug("call", "op", op.name, "remote", r.RemoteAddr)
	if out == nil {
		h.Set("Content-Length", "0")
		return
	}
	writeJSON(w, http.StatusOK, out)
}

// allowOrigins lets web pages of any origin make calls: the calls are signed, so the origin proves nothing more.
func allowOrigins(h http.Header, r *http.Request) {
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Access-Control-Expose-Headers", "Date, x-amzn-RequestId, x-amzn-ErrorType")
	if r.Method != http.MethodOptions {
		return
	}
	h.Set("Access-Control-Allow-Methods", "GET, POST, OPTIONS")
	h.Set("Access-Control-Max-Age", "600")
	if asked := r.Header.Get("Access-Control-Request-Headers"); asked != "" {
		h.Set("Access-Control-Allow-Headers", asked) // "*" would not cover Authorization
	}
	if r.Header.Get("Access-Control-Request-Private-Network") != "" {
		h.Set("Access-Control-Allow-Private-Network", "true")
	}
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	body := encode(v)
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(body))) // the C SDK needs one
	w.WriteHeader(status)
	w.Write(body)
}

// writeError answers with an error. Its type carries a suffix that clients must cut off, like the service's.
func writeError(w http.ResponseWriter, err *apiError) {
	w.Header().Set("x-amzn-ErrorType", err.code+":http://internal.amazon.com/coral/com.amazonaws.kinesisvideo/")
	if err.status == http.StatusForbidden {
		writeJSON(w, err.status, struct {
			Message string `json:"message"`
		}{err.message})
		return
	}
	writeJSON(w, err.status, struct{ Message string }{err.message})
}

// requestID looks like a UUID.
func requestID() string {
	var b [16]byte
	rand.Read(b[:])
	x := hex.EncodeToString(b[:])
	return x[:8] + "-" + x[8:12] + "-" + x[12:16] + "-" + x[16:20] + "-" + x[20:]
}

// authenticate checks a request's signature and that it is for this service.
func (s *Server) authenticate(r *http.Request, body []byte) (scope, *apiError) {
	sc, err := s.verifier.verify(r, body)
	if err != nil {
		return sc, err
	}
	if sc.service != "kinesisvideo" {
		return sc, badSignature("Credential should be scoped to correct service: 'kinesisvideo'.")
	}
	if s.faults.get().ExpireTokens {
		return sc, expiredToken()
	}
	return sc, nil
}

// upgrader has no compression: no client of the service asks for it. It echoes a subprotocol that libwebsockets names,
// since some clients need that. Buffers are small, and write buffers are shared, since most connections are idle most
// of the time.
func (s *Server) upgrader() websocket.Upgrader {
	return websocket.Upgrader{
		WriteBufferPool: &s.writeBuffers,
		Subprotocols:    []string{"wss"},
		ReadBufferSize:  1 << 10,
		WriteBufferSize: 1 << 10,
		CheckOrigin:     func(*http.Request) bool { return true },
		Error:           func(http.ResponseWriter, *http.Request, int, error) {}, // connect answers
	}
}
