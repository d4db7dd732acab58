package status

import (
	"bytes"
	"embed"
	"net/http"
	"time"
)

//go:embed web
var files embed.FS

// page registers the page's files, each under its own name: nothing else of the embedded tree is served.
func page(mux *http.ServeMux) {
	for route, name := range map[string]string{
		"GET /{$}":       "index.html",
		"GET /style.css": "style.css",
		"GET /app.js":    "app.js",
		"GET /watch.js":  "watch.js",
		"GET /format.js": "format.js",
		"GET /icon.svg":  "icon.svg",
	} {
		mux.Handle(route, file(name))
	}
}

func file(name string) http.Handler {
	body, err := files.ReadFile("web/" + name)
	if err != nil {
		panic(err) // the list above matches the embedded tree
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-cache")
		http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(body))
	})
}
