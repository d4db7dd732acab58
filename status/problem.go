package status

import "net/http"

// Problem is an error as the page and other clients see it: {"error": ..., "hint": ...} with an HTTP status.
// Options.Watch may return one.
type Problem struct {
	Status int    `json:"-"` // HTTP status, 400 to 599; 0 means 502
	Text   string `json:"error"`
	Hint   string `json:"hint,omitempty"`
}

// Error returns the text and the hint.
func (p *Problem) Error() string {
	if p.Hint == "" {
		return p.Text
	}
	return p.Text + "; hint: " + p.Hint
}

// write answers the request with p.
func (p *Problem) write(w http.ResponseWriter) {
	code := p.Status
	if code < 400 || code > 599 {
		code = http.StatusBadGateway
	}
	writeJSON(w, code, p)
}
