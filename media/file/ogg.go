package file

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/opus"

	"github.com/kvsagent/kvsagent/media"
	"github.com/kvsagent/kvsagent/media/internal/demux"
)

// oggFile plays Opus in Ogg, without video.
type oggFile struct {
	f      *os.File
	stream demux.Stream
}

func openOgg(f *os.File) (*oggFile, error) {
	o := &oggFile{f: f}
	return o, o.rewind()
}

func (o *oggFile) tracks() []media.Track { return o.stream.Tracks() }

func (o *oggFile) next() (sample, error) {
	u, err := o.stream.Next()
	if err != nil {
		return sample{}, err
	}
	lasts := time.Duration(opus.PacketDuration2(u.Data[0])) * time.Second / 48000
	return sample{codec: u.Codec, pts: u.PTS, duration: lasts, data: u.Data}, nil
}

func (o *oggFile) rewind() (err error) {
	if _, err := o.f.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("back to the beginning: %w", err)
	}
	o.stream, err = demux.Open(o.f)
	return err
}
