package localkvs

import (
	"embed"
	"io/fs"
)

//go:embed page/index.html page/page.js page/page.css
var embedded embed.FS

// pageFiles returns the page that shows channels, connections and messages live.
func pageFiles() fs.FS {
	files, err := fs.Sub(embedded, "page")
	if err != nil {
		panic("localkvs: " + err.Error()) // the name is a constant
	}
	return files
}
