package status

import (
	"context"
	"net/http"
	"slices"
)

// offering is the body of a request for an offer.
type offering struct {
	ClientID string `json:"client_id"`
}

// offers makes the master of a channel offer now.
func offers(o Options) http.Handler {
	c := change[offering]{
		part: "channel",
		known: func(name string) bool {
			return slices.ContainsFunc(o.Report().Channels, func(c Channel) bool { return c.Name == name })
		},
		cannot: "this agent makes no offers on request",
		clear:  func(b offering) bool { return b.ClientID != "" },
		vague: Problem{
			Status: http.StatusBadRequest, Text: "the body names no client", Hint: `send {"client_id": "tablet"}`,
		},
		log: func(name string, b offering) {
			o.Log.Info("offer made over the API", "channel", name, "client", b.ClientID)
		},
		status: http.StatusAccepted,
	}
	if o.Offer != nil {
		c.do = func(ctx context.Context, name string, b offering) error { return o.Offer(ctx, name, b.ClientID) }
	}
	return c
}
