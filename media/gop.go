package media

import "time"

// The cached group of pictures is limited, so that a camera without key frames cannot fill the memory.
const (
	maxGOPBytes = 16 << 20
	maxGOPTime  = 15 * time.Second
)

// gop is the last key frame of a video track and every frame since. It is empty before the first key frame, or when it
// has become too large to be worth sending to a newcomer.
type gop struct {
	frames []*Frame
	bytes  int
}

func (g *gop) add(f *Frame) {
	switch {
	case f.Key:
		*g = gop{}
	case len(g.frames) == 0:
		return
	case g.bytes+f.Size() > maxGOPBytes, f.PTS-g.frames[0].PTS > maxGOPTime:
		*g = gop{}
		return
	}
	g.frames = append(g.frames, f)
	g.bytes += f.Size()
}
