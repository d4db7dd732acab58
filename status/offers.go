package status

import (
	"encoding/json"
	"net/http"
	"slices"
)

// maxOffering limits the body of a request for an offer: a client ID with its JSON.
const maxOffering = 1 << 10

// offers makes the master of a channel offer now. The answer is empty: the report shows what comes of it.
func offers(o Options) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := r.PathValue("name")
		client, p := wantedClient(o, w, r, name)
		if p == nil {
			p = problemOf(r.Context(), o.Offer(r.Context(), name, client))
		}
		if p != nil {
			p.write(w)
			return
		}
		o.Log.Info("offer made over the API", "channel", name, "client", client)
		w.WriteHeader(http.StatusAccepted)
	})
}

func wantedClient(o Options, w http.ResponseWriter, r *http.Request, channel string) (client string, p *Problem) {
	if o.Offer == nil {
		return "", &Problem{Status: http.StatusNotImplemented, Text: "this agent makes no offers on request"}
	}
	if !slices.ContainsFunc(o.Report().Channels, func(c Channel) bool { return c.Name == channel }) {
		return "", &Problem{Status: http.StatusNotFound, Text: "there is no such channel",
			Hint: "/api/v1/report lists them"}
	}
	var body struct {
		ClientID string `json:"client_id"`
	}
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxOffering)).Decode(&body); err != nil ||
		body.ClientID == "" {
		return "", &Problem{Status: http.StatusBadRequest, Text: "the body names no client",
			Hint: `send {"client_id": "tablet"}`}
	}
	return body.ClientID, nil
}
