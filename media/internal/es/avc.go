package es

import (
	"github.com/kvsagent/kvsagent/internal/h264"
	"github.com/kvsagent/kvsagent/media"
)

// avc is H.264.
type avc struct{ params h264.Params }

func newAVC(t media.Track) *avc {
	a := &avc{}
	a.set(t.SPS, t.PPS)
	return a
}

func (a *avc) set(sets ...[]byte) { a.params.Set(sets...) }

func (a *avc) next(data [][]byte) (unit, bool) {
	u, ok := a.params.Next(data)
	return unit{data: u.NALs, key: u.Key, changed: u.Changed}, ok
}

func (a *avc) track() media.Track {
	t := media.Track{Codec: media.H264, SPS: a.params.SPS(), PPS: a.params.PPS()}
	t.Width, t.Height = a.params.Size()
	return t
}

func (a *avc) playable() error { return h264.Playable(a.params.SPS()) }

func (a *avc) reorders(u unit) bool { return h264.Bidirectional(u.data) }
