package status

import (
	"net/http"
	"slices"
	"time"
)

// Snapshot is one picture of a source.
type Snapshot struct {
	Body []byte
	At   time.Time // when it was taken
}

// snapshotWithin is how long a picture may take: a camera must be started, and ffmpeg, too.
const snapshotWithin = 30 * time.Second

// snapshotTypes are the media types of the results of Options.Snapshot, by format. IVF has none of its own.
var snapshotTypes = map[string]string{
	"jpg": "image/jpeg", "h264": "video/h264", "h265": "video/h265", "ivf": "application/octet-stream",
}

// snapshot serves the newest picture of a source in one format.
func snapshot(o Options, format, kind string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// Not supported by a recorder.
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(snapshotWithin))
		name := r.PathValue("name")
		p := snapshotRefusal(o, r, name)
		var s Snapshot
		if p == nil {
			var err error
			s, err = o.Snapshot(r.Context(), name, format)
			p = problemOf(r.Context(), err)
		}
		if p != nil {
			p.write(w)
			return
		}
		w.Header().Set("Content-Type", kind)
		w.Header().Set("Last-Modified", s.At.UTC().Format(http.TimeFormat))
		_, _ = w.Write(s.Body) // the client is gone
	})
}

// snapshotRefusal returns why there is no picture for this request. Another site's page could not see it, but its
// request could start the camera.
func snapshotRefusal(o Options, r *http.Request, source string) *Problem {
	switch site := r.Header.Get("Sec-Fetch-Site"); {
	case o.Snapshot == nil:
		return &Problem{Status: http.StatusNotImplemented, Text: "this agent gives no pictures"}
	case site != "" && site != "same-origin" && site != "none":
		return &Problem{Status: http.StatusForbidden, Text: "the request comes from another site's page",
			Hint: "let that site's server ask"}
	case !slices.ContainsFunc(o.Report().Sources, func(s Source) bool { return s.Name == source }):
		return &Problem{Status: http.StatusNotFound, Text: "there is no such source", Hint: "/api/v1/report lists them"}
	}
	return nil
}
