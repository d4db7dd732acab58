package media_test

import (
	"testing"

	"github.com/kvsagent/kvsagent/media"
)

// unsure is a camera that makes key frames until it has found out that it cannot.
type unsure struct {
	media.Source
	able bool
}

func (u *unsure) RequestKeyFrame()     {}
func (u *unsure) MakesKeyFrames() bool { return u.able }

type around struct{ media.Source }

func (a around) Unwrap() media.Source { return a.Source }

// TestWhoMakesKeyFrames finds them in whatever is wrapped around.
func TestWhoMakesKeyFrames(t *testing.T) {
	camera := &unsure{able: true}
	for _, tt := range []struct {
		name   string
		source media.Source
		want   bool
	}{
		{"a camera", camera, true},
		{"with something around it", around{around{camera}}, true},
		{"one that cannot", &unsure{}, false},
		{"with something around that", around{&unsure{}}, false},
		{"nothing", nil, false},
	} {
		if got := media.NewHub(media.HubOptions{Source: tt.source}).CanMakeKeyFrames(); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}
