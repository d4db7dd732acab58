// Package probe watches a source for a while, and reports what it is and how it will look in a browser.
//
//	source --Tracks, frames--> meter --numbers--> Result --judge--> verdict and findings, in plain words
package probe

import (
	"context"
	"errors"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/kvsagent/kvsagent/media"
)

// Result is what was seen. Times are in milliseconds, rates in bits per second.
type Result struct {
	Verdict  Verdict   `json:"verdict"`
	Findings []Finding `json:"findings"`

	FirstFrameMS float64 `json:"first_frame_ms"` // from the beginning to the first picture
	Video        *Video  `json:"video,omitempty"`
	Audio        *Audio  `json:"audio,omitempty"`
	Clock        *Clock  `json:"clock,omitempty"`
	Error        string  `json:"error,omitempty"` // why the source ended
}

// Video is the picture.
type Video struct {
	Codec     string  `json:"codec"`
	Profile   string  `json:"profile,omitempty"`
	Width     int     `json:"width"`
	Height    int     `json:"height"`
	FPS       float64 `json:"fps"`
	Frames    int     `json:"frames"`
	KeyFrames int     `json:"key_frames"`
	GOPMS     float64 `json:"gop_ms"` // the longest time between two key frames; 0 if there was only one
	BFrames   bool    `json:"b_frames"`
	Refresh   bool    `json:"intra_refresh,omitempty"` // it begins at recovery points, for there are no IDR pictures
	Bitrate   float64 `json:"bitrate"`
	PeakMS    float64 `json:"largest_frame_ms"` // how long the largest frame takes at the average rate
}

// Audio is the sound.
type Audio struct {
	Codec   string  `json:"codec"`
	Packets int     `json:"packets"`
	Bitrate float64 `json:"bitrate"`
}

// Clock compares the source's times with ours.
type Clock struct {
	JitterMS float64 `json:"jitter_ms"` // by how much the latest of 20 pictures was later than usual
	DriftPPM float64 `json:"drift_ppm"` // above 0 the source is fast; only from 15 s on
	Jumps    int     `json:"jumps"`     // steps of more than a second
}

// Run watches src for d after its first frame, or until ctx is done or the source fails, and in total at most d plus
// half a minute.
func Run(ctx context.Context, src media.Source, d time.Duration) Result {
	ctx, cancel := context.WithTimeout(ctx, d+30*time.Second)
	defer cancel()
	m := &meter{begin: time.Now(), enough: d, stop: cancel}
	err := src.Run(ctx, m)
	if ctx.Err() != nil {
		err = nil
	}
	r := m.result(err)
	r.judge(err)
	return r
}

// meter is the counting sink.
type meter struct {
	begin  time.Time
	enough time.Duration
	stop   context.CancelFunc

	mu      sync.Mutex // guards the fields below
	tracks  []media.Track
	first   time.Time // when the first frame came
	timer   *time.Timer
	video   counter
	audio   counter
	keys    []time.Duration
	refresh bool // a key frame was a recovery point
	detail  profile
	jumps   int
	delays  []delay
}

// delay is how much later a picture came by our clock than by its own.
type delay struct{ at, late time.Duration }

// counter counts one track.
type counter struct {
	codec         media.Codec
	frames, bytes int
	largest       int
	from, to      time.Duration
}

func (c *counter) add(f *media.Frame) {
	if c.frames == 0 {
		c.codec, c.from = f.Codec, f.PTS
	}
	c.frames++
	c.bytes += f.Size()
	c.largest = max(c.largest, f.Size())
	c.to = f.PTS
}

// perSecond scales a count made over frames-1 frame intervals.
func (c *counter) perSecond(n float64) float64 {
	if c.to <= c.from {
		return 0
	}
	return n / (c.to - c.from).Seconds()
}

func (m *meter) Tracks(tracks []media.Track) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.tracks = append([]media.Track(nil), tracks...)
}

// maxDelays limits the delays kept for a long probe: an hour at 60 frames per second.
const maxDelays = 216_000

func (m *meter) Write(f *media.Frame) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	if m.first.IsZero() {
		m.first = now
		m.timer = time.AfterFunc(m.enough, m.stop)
	}
	if !f.Codec.Video() {
		m.audio.add(f)
		return
	}
	if m.video.frames > 0 && f.PTS-m.video.to > time.Second {
		m.jumps++
	}
	m.video.add(f)
	if len(m.delays) < maxDelays {
		m.delays = append(m.delays, delay{f.PTS, now.Sub(m.first) - f.PTS})
	}
	if f.Key {
		m.keys = append(m.keys, f.PTS)
		m.refresh = m.refresh || f.Codec == media.H264 && slices.ContainsFunc(f.Data, inter)
		m.detail.look(f)
	}
}

// result turns the counts into a result.
func (m *meter) result(err error) Result {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.timer != nil {
		m.timer.Stop()
	}
	r := Result{}
	if err != nil {
		r.Error = err.Error()
	}
	if !m.first.IsZero() {
		r.FirstFrameMS = ms(m.first.Sub(m.begin))
	}
	for _, t := range m.tracks {
		if t.Codec.Video() {
			r.Video = m.videoResult(t, err)
		} else {
			r.Audio = &Audio{Codec: string(t.Codec), Packets: m.audio.frames,
				Bitrate: math.Round(m.audio.perSecond(float64(m.audio.bytes * 8)))}
		}
	}
	if len(m.delays) > 1 {
		r.Clock = m.clock()
	}
	return r
}

func (m *meter) videoResult(t media.Track, err error) *Video {
	m.detail.track(t)
	v := &Video{
		Codec: string(t.Codec), Profile: m.detail.name, Width: t.Width, Height: t.Height, Frames: m.video.frames,
		KeyFrames: len(m.keys), Refresh: m.refresh,
		FPS:     round(m.video.perSecond(float64(m.video.frames - 1))),
		Bitrate: math.Round(m.video.perSecond(float64(m.video.bytes * 8))),
		BFrames: m.detail.reordered || errors.Is(err, errBFrames),
	}
	for i := 1; i < len(m.keys); i++ {
		v.GOPMS = max(v.GOPMS, ms(m.keys[i]-m.keys[i-1]))
	}
	if v.Bitrate > 0 {
		v.PeakMS = math.Round(float64(m.video.largest*8) / v.Bitrate * 1000)
	}
	return v
}

// clock compares the times of the pictures with their arrival. The earliest arrivals give the drift of the clock, the
// late ones its jitter.
func (m *meter) clock() *Clock {
	c := &Clock{Jumps: m.jumps}
	least := m.delays[0].late
	lates := make([]time.Duration, len(m.delays))
	for i, d := range m.delays {
		least = min(least, d.late)
		lates[i] = d.late
	}
	c.JitterMS = round(ms(percentile(lates, 95) - least))
	half := len(m.delays) / 2
	span := m.delays[len(m.delays)-1].at - m.delays[0].at
	if span >= 15*time.Second && m.jumps == 0 {
		a, b := lowest(m.delays[:half]), lowest(m.delays[half:])
		if between := (b.at - a.at).Seconds(); between > 1 {
			c.DriftPPM = math.Round(-(b.late - a.late).Seconds() / between * 1e6)
		}
	}
	return c
}

func lowest(ds []delay) delay {
	best := ds[0]
	for _, d := range ds {
		if d.late < best.late {
			best = d
		}
	}
	return best
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func round(f float64) float64 { return math.Round(f*100) / 100 }

// inter reports whether a NAL unit of H.264 is a slice of another picture than an IDR picture.
func inter(nal []byte) bool { return len(nal) > 0 && nal[0]&0x1f == 1 }
