package status

import (
	"encoding/json"
	"net/http"
	"slices"
)

// maxSwitch limits the body of a request that sets the privacy switch.
const maxSwitch = 1 << 10

// privacy sets the privacy switch of a source. The answer is empty: the report shows the effect of the switch and the
// hours together.
func privacy(o Options) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := r.PathValue("name")
		on, p := wantedPrivacy(o, w, r, name)
		if p == nil {
			p = problemOf(r.Context(), o.Privacy(name, on))
		}
		if p != nil {
			p.write(w)
			return
		}
		o.Log.Info("privacy switch flipped over the API", "source", name, "on", on)
		w.WriteHeader(http.StatusNoContent)
	})
}

func wantedPrivacy(o Options, w http.ResponseWriter, r *http.Request, source string) (on bool, p *Problem) {
	if o.Privacy == nil {
		return false, &Problem{Status: http.StatusNotImplemented, Text: "this agent has no privacy switch"}
	}
	if !slices.ContainsFunc(o.Report().Sources, func(s Source) bool { return s.Name == source }) {
		return false, &Problem{Status: http.StatusNotFound, Text: "there is no such source",
			Hint: "/api/v1/report lists them"}
	}
	var body struct {
		On *bool `json:"on"`
	}
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxSwitch)).Decode(&body); err != nil || body.On == nil {
		return false, &Problem{Status: http.StatusBadRequest, Text: "the body does not say on or off",
			Hint: `send {"on": true}`}
	}
	return *body.On, nil
}
