package testpattern

import (
	"fmt"
	"image"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Parse parses a URL such as testpattern:?size=640x360&rate=15&gop=1s. Missing options stay zero, which New fills in.
func Parse(raw string) (Options, error) {
	opts, err := parse(raw)
	if err != nil {
		return Options{}, fmt.Errorf("%s: %w", raw, err)
	}
	return opts, nil
}

func parse(raw string) (opts Options, err error) {
	query, ok := strings.CutPrefix(raw, "testpattern:")
	if !ok {
		return opts, fmt.Errorf("not a test pattern; hint: testpattern:?size=640x360&rate=15&gop=1s")
	}
	query, ok = strings.CutPrefix(query, "?")
	if !ok && query != "" {
		return opts, fmt.Errorf("%q follows testpattern:; hint: only ?size=, rate= and gop= may", query)
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		return opts, fmt.Errorf("query: %w; hint: testpattern:?size=640x360&rate=15", err)
	}
	for key, all := range values {
		if len(all) != 1 {
			return opts, fmt.Errorf("%s: given %d times; hint: once is enough", key, len(all))
		}
		if err := opts.set(key, all[0]); err != nil {
			return opts, err
		}
	}
	return opts, opts.fill().check()
}

// set parses one parameter of the query.
func (o *Options) set(key, value string) (err error) {
	switch key {
	case "size":
		o.Size, err = parseSize(value)
	case "rate":
		o.Rate, err = strconv.Atoi(value)
		if err != nil || o.Rate <= 0 {
			err = fmt.Errorf("rate: %q is not a number of frames a second; hint: rate=30", value)
		}
	case "gop":
		o.GOP, err = time.ParseDuration(value)
		if err != nil || o.GOP <= 0 {
			err = fmt.Errorf("gop: %q is not a duration; hint: gop=2s", value)
		}
	default:
		err = fmt.Errorf("%s: no such parameter; hint: size, rate and gop are known", key)
	}
	return err
}

// parseSize parses a size such as 640x360.
func parseSize(value string) (image.Point, error) {
	w, h, _ := strings.Cut(value, "x")
	x, errX := strconv.Atoi(w)
	y, errY := strconv.Atoi(h)
	if errX != nil || errY != nil || x <= 0 || y <= 0 {
		return image.Point{}, fmt.Errorf("size: %q is not width x height; hint: size=1280x720", value)
	}
	return image.Pt(x, y), nil
}
