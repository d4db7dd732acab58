// Package file is a source that plays a file in a loop at its own pace: MP4, plain or fragmented, with H.264 and Opus,
// an H.264 byte stream (Annex B), or Opus in Ogg, which is audio only.
//
//	file -> container (mp4 | annexb | ogg): next sample -> player: wait until it is due -> sink
//
// The file is read while it is played: memory holds one sample at a time, and the tables of an MP4.
package file

import (
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"sync"
)

// Options says what to play.
type Options struct {
	Path string // of the file; relative to the working directory when it is not absolute

	// Rate is the frame rate of a byte stream, which has no timestamps. 0 means the rate in the stream's SPS, or else
	// 25. It is ignored for MP4.
	Rate float64

	// Foreign lets AAC through, to be transcoded. Otherwise AAC is left out and the log says so.
	Foreign bool

	Log *slog.Logger // nil means slog.Default
}

// Parse reads a URL such as file:rel.mp4, file:/abs.mp4, file:///abs.mp4 or file:clip.h264?rate=30.
func Parse(raw string) (Options, error) {
	rest, ok := strings.CutPrefix(raw, "file:")
	if !ok {
		return Options{}, fmt.Errorf("file source %q: hint: write file:/path/to/clip.mp4", raw)
	}
	rest, query, _ := strings.Cut(rest, "?")
	if strings.HasPrefix(rest, "//") {
		host, path, _ := strings.Cut(rest[2:], "/")
		if host != "" && host != "localhost" {
			return Options{}, fmt.Errorf("file source %q: file on another host %q; hint: file:///path has three "+
				"slashes, file:path is relative", raw, host)
		}
		rest = "/" + path
	}
	path, err := url.PathUnescape(rest)
	if err != nil {
		return Options{}, fmt.Errorf("file source %q: %w; hint: write a percent sign as %%25 and a question mark as "+
			"%%3F", raw, err)
	}
	o := Options{Path: path}
	if err := o.parseQuery(query); err != nil {
		return Options{}, fmt.Errorf("file source %q: %w", raw, err)
	}
	return o, o.check()
}

func (o *Options) parseQuery(query string) error {
	values, err := url.ParseQuery(query)
	if err != nil {
		return err
	}
	for key, value := range values {
		if key != "rate" || len(value) != 1 {
			return fmt.Errorf("unknown or repeated option %q; hint: rate is the only one", key)
		}
		if _, err := fmt.Sscanf(value[0]+"\n", "%g\n", &o.Rate); err != nil || o.Rate == 0 {
			return fmt.Errorf("rate %q; hint: frames a second, such as rate=25", value[0])
		}
	}
	return nil
}

func (o *Options) check() error {
	switch {
	case o.Path == "" || o.Path == "/":
		return errors.New("file source without a path; hint: write file:/path/to/clip.mp4")
	case o.Rate != 0 && !(o.Rate >= 0.1 && o.Rate <= 240):
		return fmt.Errorf("file source %s: rate %g; hint: 0.1 to 240 frames a second", o.Path, o.Rate)
	}
	return nil
}

// Source plays one file. Make it with New.
type Source struct {
	path string
	rate float64
	log  *slog.Logger

	foreign bool
	silence sync.Once // logs only once, not in each run, that there is no sound
}

// New checks the options. It does not open the file: Run does.
func New(o Options) (*Source, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	return &Source{path: o.Path, rate: o.Rate, log: o.Log, foreign: o.Foreign}, nil
}
