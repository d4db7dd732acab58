package localkvs

import (
	"embed"
	"io/fs"
)

//go:embed page/index.html page/page.js page/page.css
var embedded embed.FS

// pageFiles is the page that shows channels, connections and messages as they are.
func pageFiles() fs.FS {
	files, err := fs.Sub(embedded, "page")
	if err != nil {
		panic("localkvs: " + err.Error()) // the name is a constant
	}
	return files
}
