package slate

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"
)

// Switch is what closes a source: a file, while it exists, and hours of each day. The zero value never does.
type Switch struct {
	File  string
	Hours []Hours
}

// Hours is a part of each day by the clock of this host, from its first minute up to its last, perhaps across midnight.
// Make it with ParseHours.
type Hours struct{ from, to int } // minutes since midnight

// ParseHours reads "22:00-06:00".
func ParseHours(text string) (Hours, error) {
	first, last, ok := strings.Cut(text, "-")
	from, err1 := time.Parse("15:04", first)
	to, err2 := time.Parse("15:04", last)
	if last == "24:00" { // the end of the day, which no clock shows
		to, err2 = time.Time{}, nil
	}
	if !ok || err1 != nil || err2 != nil {
		return Hours{}, fmt.Errorf("hours %q; hint: from and to, such as 22:00-06:00", text)
	}
	h := Hours{from: from.Hour()*60 + from.Minute(), to: to.Hour()*60 + to.Minute()}
	if h.from == h.to && text != "00:00-24:00" {
		return Hours{}, fmt.Errorf("hours %q begin when they end; hint: 00:00-24:00 is the whole day", text)
	}
	return h, nil
}

// String returns what ParseHours read.
func (h Hours) String() string {
	return fmt.Sprintf("%02d:%02d-%02d:%02d", h.from/60, h.from%60, h.to/60, h.to%60)
}

func (h Hours) at(t time.Time) bool {
	now := t.Hour()*60 + t.Minute()
	if h.from < h.to {
		return h.from <= now && now < h.to
	}
	return now >= h.from || now < h.to
}

// Why returns what closes the source now, for people; "" is nothing. A file that cannot be looked at counts: when in
// doubt, nothing is shown.
func (s Switch) Why() string {
	if s.File != "" {
		if _, err := os.Stat(s.File); !errors.Is(err, os.ErrNotExist) {
			return "the file " + s.File
		}
	}
	now := time.Now()
	for _, h := range s.Hours {
		if h.at(now) {
			return "the hours " + h.String()
		}
	}
	return ""
}

// Flip makes the file, which must have a name, or takes it away.
func (s Switch) Flip(on bool) error {
	if !on {
		if err := os.Remove(s.File); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("privacy switch off: %w", err)
		}
		return nil
	}
	f, err := os.OpenFile(s.File, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("privacy switch on: %w; hint: may kvsagent write in that directory?", err)
	}
	return f.Close()
}
