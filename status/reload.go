package status

import (
	"errors"
	"net/http"
	"time"
)

// reloadMost is how long a reload may take to answer: what stops has time to end.
const reloadMost = time.Minute

// reload reads the config again, and answers when the agent runs by it.
func reload(o Options) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if o.Reload == nil {
			(&Problem{Status: http.StatusNotImplemented, Text: "this agent has no config file"}).write(w)
			return
		}
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(reloadMost))
		err := o.Reload(r.Context())
		var p *Problem
		switch {
		case err == nil:
			w.WriteHeader(http.StatusNoContent)
		case errors.As(err, &p):
			p.write(w)
		default:
			(&Problem{Status: http.StatusUnprocessableEntity, Text: err.Error()}).write(w)
		}
	})
}
