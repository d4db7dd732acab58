package status

import (
	"log/slog"
	"net/http"

	"github.com/kvsagent/kvsagent/internal/fault"
)

// contained ends a request that meets a fault of ours with 500, or, when an answer has begun, by closing its
// connection. net/http would contain it, too, but not count it, and its log line is one that nobody sees.
func contained(log *slog.Logger, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		out := &begun{ResponseWriter: w}
		cut := false
		func() {
			defer fault.Contain(log, "HTTP request", func(error) {
				if cut = out.yes; !cut {
					(&Problem{Status: http.StatusInternalServerError, Text: "a fault of the agent's own",
						Hint: "the log has the details"}).write(w)
				}
			})
			next.ServeHTTP(out, r)
		}()
		if cut {
			panic(http.ErrAbortHandler) // which net/http takes silently
		}
	})
}

// begun notes whether an answer has begun.
type begun struct {
	http.ResponseWriter
	yes bool
}

func (b *begun) WriteHeader(code int) {
	b.yes = true
	b.ResponseWriter.WriteHeader(code)
}

func (b *begun) Write(p []byte) (int, error) {
	b.yes = true
	return b.ResponseWriter.Write(p)
}

// Unwrap is for http.ResponseController.
func (b *begun) Unwrap() http.ResponseWriter { return b.ResponseWriter }
