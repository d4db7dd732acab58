package status

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	maxOffer    = 64 << 10         // bytes of the request's body
	maxWatching = 16               // concurrent watch streams
	lineTimeout = 10 * time.Second // for writing one line to the client
)

// Signal is one message from the channel's master to the page, with the field names of the browser's
// RTCSessionDescriptionInit and RTCIceCandidateInit (WebRTC 1.0, sections 4.7.3 and 4.8.1).
type Signal struct {
	Type          string  `json:"type"`                    // answer, candidate
	SDP           string  `json:"sdp,omitempty"`           // of an answer
	Candidate     string  `json:"candidate,omitempty"`     // of a candidate; "" ends them
	SDPMid        *string `json:"sdpMid,omitempty"`        // see Candidate
	SDPMLineIndex *uint16 `json:"sdpMLineIndex,omitempty"` // see Candidate
}

// watching serves the watch streams.
type watching struct {
	Options
	slots chan struct{} // one element for each open stream
}

func newWatching(o Options) *watching {
	return &watching{Options: o, slots: make(chan struct{}, maxWatching)}
}

// ServeHTTP reads the offer and streams what Watch sends, one line of JSON each.
func (h *watching) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	channel := r.PathValue("name")
	offer, p := h.offer(w, r, channel)
	if p != nil {
		p.write(w)
		return
	}
	select {
	case h.slots <- struct{}{}:
		defer func() { <-h.slots }()
	default:
		(&Problem{
			Status: http.StatusServiceUnavailable,
			Text:   "too many pages are watching",
			Hint:   "close another page of this agent",
		}).write(w)
		return
	}

	s := newStream(w)
	start := time.Now()
	err := h.Watch(r.Context(), channel, offer, s.send)
	s.end(problemOf(r.Context(), err))
	h.log(channel, err, time.Since(start))
}

// offer returns the SDP of the request, or why it cannot be used.
func (h *watching) offer(w http.ResponseWriter, r *http.Request, channel string) (string, *Problem) {
	if h.Watch == nil {
		return "", &Problem{Status: http.StatusNotImplemented, Text: "this agent shows no picture"}
	}
	if !slices.ContainsFunc(h.Report().Channels, func(c Channel) bool { return c.Name == channel }) {
		return "", &Problem{Status: http.StatusNotFound, Text: "there is no such channel",
			Hint: "/api/v1/report lists them"}
	}
	var body struct {
		SDP string `json:"sdp"`
	}
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxOffer))
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		return "", &Problem{Status: http.StatusRequestEntityTooLarge, Text: "the offer is larger than 64 KiB"}
	}
	if err == nil {
		err = json.Unmarshal(raw, &body)
	}
	if err != nil || !strings.HasPrefix(body.SDP, "v=0") {
		return "", &Problem{Status: http.StatusBadRequest, Text: "the body is not an offer",
			Hint: `send {"sdp": "v=0..."}`}
	}
	return body.SDP, nil
}

func (h *watching) log(channel string, err error, after time.Duration) {
	level := slog.LevelDebug
	if err != nil && !errors.Is(err, context.Canceled) {
		level = slog.LevelWarn
	}
	h.Log.Log(context.Background(), level, "page stopped watching", "channel", channel, "err", err, "after", after)
}

// problemOf translates the error of Watch; nil means a normal end. When ctx is done, either the client is gone, and
// nobody reads the problem, or the server is stopping.
func problemOf(ctx context.Context, err error) *Problem {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return &Problem{Status: http.StatusServiceUnavailable, Text: "the agent is stopping"}
	}
	if p, ok := errors.AsType[*Problem](err); ok {
		return p
	}
	return &Problem{Status: http.StatusBadGateway, Text: err.Error()}
}

// stream writes lines of JSON and flushes each. After end it is finished.
type stream struct {
	mu      sync.Mutex // guards the fields below
	w       http.ResponseWriter
	rc      *http.ResponseController
	started bool // the status has been sent
	ended   bool
}

// newStream takes over w.
func newStream(w http.ResponseWriter) *stream {
	return &stream{w: w, rc: http.NewResponseController(w)}
}

// errEnded is returned to a Watch that sends after it has returned.
var errEnded = errors.New("the watch stream has ended")

// send writes one line.
func (s *stream) send(m Signal) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return errEnded
	}
	return s.line(m)
}

// end finishes the stream: with a problem as the answer when nothing was sent yet, or else with a last line.
func (s *stream) end(p *Problem) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	if p == nil {
		return
	}
	if !s.started {
		_ = s.rc.SetWriteDeadline(time.Now().Add(lineTimeout))
		p.write(s.w)
		return
	}
	_ = s.line(struct { // the client is gone, or learns it from the end of the stream
		Type string `json:"type"`
		*Problem
	}{"error", p})
}

// line writes v and flushes. The caller holds mu.
func (s *stream) line(v any) error {
	_ = s.rc.SetWriteDeadline(time.Now().Add(lineTimeout)) // not supported by a recorder
	if !s.started {
		s.started = true
		s.w.Header().Set("Content-Type", "application/x-ndjson")
		s.w.Header().Set("X-Accel-Buffering", "no") // a proxy must not hold lines back
	}
	if err := json.NewEncoder(s.w).Encode(v); err != nil {
		return err
	}
	return s.rc.Flush()
}
