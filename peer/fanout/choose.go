package fanout

import "github.com/kvsagent/kvsagent/media"

// Which level a viewer gets is decided here, and nowhere else: attach, adapt, refresh and move carry it out. What a
// level's codec is counts as much as what the path carries: a camera may give H.265 and beside it a smaller stream in
// H.264.

// codecFit says whether a viewer takes the codec of a level.
type codecFit int

const (
	fitUnknown codecFit = iota // the level's codec is not known yet
	fits
	fitsNot
)

// LevelState is one level of a source as a viewer sees it.
type LevelState struct {
	There bool // the source has such a level
	Fit   codecFit
	warm  bool    // it has pictures at hand that the viewer takes
	rate  float64 // bit/s; 0 is not known
}

// Circumstances are what the choice of a level depends on.
type Circumstances struct {
	Levels [2]LevelState // by Level
	class  PathClass
	tried  bool  // the path has been sent into, and path is what the ladder makes of it; else only its class is known
	path   Level // the largest level that the path carries
}

// decision is which level a viewer gets.
type decision struct {
	Target Level // from its next key frame on
	begin  Level // until then, for a viewer that comes
	fixed  bool  // whatever the path carries
}

// Choose decides which level a viewer gets. It depends on nothing but what it is given.
func Choose(c Circumstances) decision {
	main, sub := c.Levels[Main], c.Levels[Sub]
	switch {
	case !sub.There || sub.Fit == fitsNot:
		return decision{Main, Main, true}
	case main.Fit == fitsNot:
		return decision{Sub, Sub, true}
	}
	target := c.path
	if !c.tried {
		target = c.class.level(sub.warm && sub.Fit == fits)
	}
	begin := target
	if target == Sub && !(sub.warm && sub.Fit == fits) {
		begin = Main // which is better than nothing until the smaller one is there
	}
	return decision{Target: target, begin: begin}
}

// level is the one for a path of which no more is known than its class. ready says that the smaller stream can begin at
// once; behind a relay it is worth waiting for.
func (p PathClass) level(ready bool) Level {
	if p == Relayed || p == Far && ready {
		return Sub
	}
	return Main
}

// FitOf says whether some tracks have a picture that is taken.
func FitOf(tracks []media.Track, takes func(media.Track) bool) codecFit {
	for _, t := range tracks {
		if !t.Codec.Video() {
			continue
		}
		if takes(t) {
			return fits
		}
		return fitsNot
	}
	return fitUnknown
}
