package status

import (
	"context"
	"encoding/json"
	"net/http"
)

// maxChange bounds the body of a request that changes something: a few words, and what stands around them.
const maxChange = 1 << 10

// change is a request of the API, with a body of type T, that changes something about one named part of the agent. The
// answer is empty: the report shows what comes of it.
type change[T any] struct {
	part   string                                               // source or channel
	known  func(name string) bool                               // there is such a part
	do     func(ctx context.Context, name string, body T) error // nil: the agent cannot
	cannot string                                               // and says so
	clear  func(body T) bool                                    // the body says what to do
	vague  Problem                                              // when it does not
	log    func(name string, body T)                            // tells that it is done
	status int                                                  // likewise
}

// ServeHTTP implements http.Handler.
func (c change[T]) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	body, p := c.wanted(w, r, name)
	if p == nil {
		p = problemOf(r.Context(), c.do(r.Context(), name, body))
	}
	if p != nil {
		p.write(w)
		return
	}
	c.log(name, body)
	w.WriteHeader(c.status)
}

// wanted reads what to do with the part of that name.
func (c change[T]) wanted(w http.ResponseWriter, r *http.Request, name string) (body T, p *Problem) {
	if c.do == nil {
		return body, &Problem{Status: http.StatusNotImplemented, Text: c.cannot}
	}
	if !c.known(name) {
		return body, &Problem{
			Status: http.StatusNotFound, Text: "there is no such " + c.part, Hint: "/api/v1/report lists them",
		}
	}
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxChange)).Decode(&body); err != nil || !c.clear(body) {
		return body, &c.vague
	}
	return body, nil
}
