package status

import (
	"context"
	"net/http"
	"slices"
)

// flip is the body of a request that flips the privacy switch.
type flip struct {
	On *bool `json:"on"`
}

// privacy sets the privacy switch of a source. The report shows the effect of the switch and the hours together.
func privacy(o Options) http.Handler {
	c := change[flip]{
		part: "source",
		known: func(name string) bool {
			return slices.ContainsFunc(o.Report().Sources, func(s Source) bool { return s.Name == name })
		},
		cannot: "this agent has no privacy switch",
		clear:  func(b flip) bool { return b.On != nil },
		vague: Problem{
			Status: http.StatusBadRequest, Text: "the body does not say on or off", Hint: `send {"on": true}`,
		},
		log: func(name string, b flip) {
			o.Log.Info("privacy switch flipped over the API", "source", name, "on", *b.On)
		},
		status: http.StatusNoContent,
	}
	if o.Privacy != nil {
		c.do = func(_ context.Context, name string, b flip) error { return o.Privacy(name, *b.On) }
	}
	return c
}
