package file

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/kvsagent/kvsagent/internal/h264"
	"github.com/kvsagent/kvsagent/media"
)

// defaultRate is the frame rate of a byte stream that does not state its own.
const defaultRate = 25

// annexB plays an H.264 byte stream. It has no timestamps, so its frames are evenly spaced.
type annexB struct {
	f      *os.File
	reader *h264.Reader
	rate   float64
	params h264.Params
	n      int // frames since the beginning
}

// openAnnexB reads up to the first parameter sets for the size and, when rate is 0, the rate.
func openAnnexB(f *os.File, rate float64) (*annexB, error) {
	a := &annexB{f: f, rate: rate}
	if err := a.rewind(); err != nil {
		return nil, err
	}
	for n := 0; a.params.SPS() == nil || a.params.PPS() == nil; n++ {
		au, err := a.reader.Next()
		if errors.Is(err, io.EOF) || errors.Is(err, h264.ErrTooBig) || n == 1000 {
			return nil, errors.New("a byte stream without the parameter sets (SPS and PPS) of H.264; hint: is it " +
				"H.265, or cut off at its beginning?")
		}
		if err != nil {
			return nil, err
		}
		a.params.Set(au...)
	}
	if a.rate == 0 {
		a.rate = h264.FrameRate(a.params.SPS())
	}
	if a.rate == 0 {
		a.rate = defaultRate
	}
	return a, a.rewind()
}

func (a *annexB) tracks() []media.Track {
	t := media.Track{Codec: media.H264, SPS: a.params.SPS(), PPS: a.params.PPS()}
	t.Width, t.Height = a.params.Size()
	return []media.Track{t}
}

func (a *annexB) next() (sample, error) {
	au, err := a.reader.Next()
	if err != nil {
		return sample{}, err
	}
	if h264.Bidirectional(au) {
		return sample{}, errBFrames
	}
	begin := a.at(a.n)
	a.n++
	return sample{codec: media.H264, pts: begin, duration: a.at(a.n) - begin, data: au}, nil
}

// at returns the time of frame n, without the drift that adding rounded durations has.
func (a *annexB) at(n int) time.Duration {
	return time.Duration(float64(n) / a.rate * float64(time.Second))
}

func (a *annexB) rewind() error {
	if _, err := a.f.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("back to the beginning: %w", err)
	}
	a.reader, a.n = h264.NewReader(a.f), 0
	return nil
}
