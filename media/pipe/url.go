package pipe

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"
)

// presetStall is the Stall of presets, which produce at least a picture each second.
const presetStall = 3 * time.Second

// Parse parses exec:COMMAND LINE, with args added unchanged, or a preset: v4l2:/dev/video0?..., libcamera:?...
func Parse(raw string, args ...string) (Options, error) {
	scheme, line, _ := strings.Cut(raw, ":")
	switch scheme {
	case "exec":
		words, err := Split(line)
		if err != nil {
			return Options{}, fmt.Errorf("exec source: %w", err)
		}
		if words = append(words, args...); len(words) == 0 || words[0] == "" {
			return Options{}, errors.New("exec source without a command; hint: exec:ffmpeg ... -f mpegts -")
		}
		return Options{Command: Line(words...), Name: filepath.Base(words[0])}, nil
	case "v4l2", "libcamera":
		if len(args) > 0 {
			return Options{}, fmt.Errorf("%s source: args are for exec: only", scheme)
		}
		p, err := ParsePreset(raw)
		if err != nil {
			return Options{}, err
		}
		return Options{Command: p.Command(), Name: strings.TrimSuffix(p.Kind+":"+p.Device, ":"),
			Stall: presetStall}, nil
	}
	return Options{}, fmt.Errorf("%q is not a command; hint: exec:, v4l2: or libcamera:", scheme)
}
