package rig

import (
	"bytes"
	encoding "encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/kvsagent/kvsagent/internal/h264"
)

// What all clips have in common, so that one can take the place of another in mid-stream: a picture's number is the
// same in all.
const (
	ReelFPS    = 25
	ReelFrames = 16 * ReelFPS
	ReelLength = ReelFrames * time.Second / ReelFPS
	ReelTick   = time.Second / ReelFPS
)

// Look is what a clip is made of.
type Look struct {
	Codec         string // H264, VP8
	Width, Height int
	Bitrate       int // bits a second
	GOP           int // pictures from one key frame to the next
}

// String says it in a line of a log.
func (l Look) String() string {
	return fmt.Sprintf("%s %dx%d %d kbit/s", l.Codec, l.Width, l.Height, l.Bitrate/1000)
}

// draw writes the pictures as planes of Y, Cb and Cr.
func (l Look) draw(to io.Writer) error {
	w, h := l.Width, l.Height
	picture := make([]byte, w*h*3/2)
	y, cb, cr := picture[:w*h], picture[w*h:w*h*5/4], picture[w*h*5/4:]
	l.drawBars(y, cb, cr)
	chance := rand.New(rand.NewPCG(1, uint64(l.Bitrate)))
	noise := y[h*6/10*w:]
	for n := range ReelFrames {
		drawNumber(y, w, n)
		for i := 0; i+8 <= len(noise); i += 8 {
			encoding.LittleEndian.PutUint64(noise[i:], 0x4040404040404040+chance.Uint64()&0x3f3f3f3f3f3f3f3f)
		}
		if _, err := to.Write(picture); err != nil {
			return err
		}
	}
	return nil
}

// drawBars fills everything with the bars; the number and the noise come over them.
func (l Look) drawBars(y, cb, cr []byte) {
	red, blue := 0.2126, 0.0722 // BT.709, as the stream says
	if l.Codec == "VP8" {
		red, blue = 0.299, 0.114 // BT.601: the codec knows nothing else (RFC 6386, section 9.2)
	}
	for row := range l.Height {
		for x := range l.Width {
			c := Bars[x*len(Bars)/l.Width]
			r, g, b := float64(c[0])/255, float64(c[1])/255, float64(c[2])/255
			luma := red*r + (1-red-blue)*g + blue*b
			y[row*l.Width+x] = byte(16.5 + 219*luma)
			half := row/2*(l.Width/2) + x/2
			cb[half] = byte(128.5 + 224*(b-luma)/(2*(1-blue)))
			cr[half] = byte(128.5 + 224*(r-luma)/(2*(1-red)))
			if row < 32 || row >= l.Height*6/10 {
				cb[half], cr[half] = 128, 128
			}
		}
	}
	for i := range y[:32*l.Width] {
		y[i] = 16
	}
}

// Reel is a film of numbered pictures, encoded once and played in a loop by a live camera. From top to bottom a picture
// has its number as testpattern.FrameNumber reads it, colour bars that never change, and noise that costs what the bit
// rate allows.
type Reel struct {
	Look
	units    [][][]byte // by picture: NAL units, or one VP8 frame
	sps, pps []byte     // of H.264
}

var clips = struct {
	sync.Mutex // held while one is made: encoders get the machine to themselves
	made       map[Look]*Reel
}{made: map[Look]*Reel{}}

// ReelOf gives a clip, which is made at its first use on this machine.
func ReelOf(t testing.TB, l Look) *Reel {
	t.Helper()
	clips.Lock()
	defer clips.Unlock()
	if c := clips.made[l]; c != nil {
		return c
	}
	began := time.Now()
	c, err := makeClip(l)
	if err != nil {
		t.Fatalf("clip %v: %v", l, err)
	}
	t.Logf("the clip %v, after %v: %s", l, time.Since(began).Round(time.Millisecond), c.weight())
	clips.made[l] = c
	return c
}

// weight says what the encoder made of the bit rate.
func (c *Reel) weight() string {
	all, keys, worst := 0, 0, 0
	for i, unit := range c.units {
		size := 0
		for _, nal := range unit {
			size += len(nal)
		}
		all += size
		if i%c.GOP == 0 {
			keys += size
			worst = max(worst, size)
		}
	}
	return fmt.Sprintf("%d kbit/s, key frames of %d bytes, the largest %d", all*8*ReelFPS/ReelFrames/1000,
		keys*c.GOP/ReelFrames, worst)
}

func makeClip(l Look) (*Reel, error) {
	kbit := func(share float64) string { return fmt.Sprintf("%dk", int(float64(l.Bitrate)*share/1000)) }
	gop := fmt.Sprint(l.GOP)
	args := []string{
		"-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", fmt.Sprintf("%dx%d", l.Width, l.Height), "-r",
		fmt.Sprint(ReelFPS), "-i", "pipe:0",
		"-g", gop, "-keyint_min", gop, "-b:v", kbit(1), "-maxrate", kbit(1), "-bufsize", kbit(0.5),
	}
	switch l.Codec {
	case "H264":
		args = append(args, "-c:v", "libx264", "-preset", "veryfast", "-tune", "zerolatency", "-profile:v", "baseline",
			"-sc_threshold", "0",
			"-x264-params", "sliced-threads=0:threads=2",
			"-color_range", "tv", "-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709",
			"-f", "h264")
	case "VP8":
		args = append(args, "-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8", "-lag-in-frames", "0",
			"-auto-alt-ref", "0", "-f", "ivf")
	default:
		return nil, fmt.Errorf("codec %q", l.Codec)
	}
	file, err := encoded("", l.draw, args...)
	if err != nil {
		return nil, err
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	c := &Reel{Look: l}
	if l.Codec == "VP8" {
		err = c.readIVF(data)
	} else {
		err = c.readAnnexB(data)
	}
	if err == nil && len(c.units) != ReelFrames {
		err = fmt.Errorf("%d pictures, want %d", len(c.units), ReelFrames)
	}
	return c, err
}

// drawNumber draws what testpattern.FrameNumber reads.
func drawNumber(luma []byte, stride, n int) {
	for row := range 32 {
		for x := range 320 {
			bit := n>>(19-x/16)&1 == 1
			v := byte(16)
			if bit == (row < 16) {
				v = 235
			}
			luma[row*stride+x] = v
		}
	}
}

func (c *Reel) readAnnexB(data []byte) error {
	r := h264.NewReader(bytes.NewReader(data))
	var params h264.Params
	for {
		au, err := r.Next()
		if errors.Is(err, io.EOF) {
			c.sps, c.pps = params.SPS(), params.PPS()
			return nil
		}
		if err != nil {
			return err
		}
		unit, ok := params.Next(au)
		if !ok || unit.Key != (len(c.units)%c.GOP == 0) {
			return fmt.Errorf("picture %d: key frame %v", len(c.units), unit.Key)
		}
		c.units = append(c.units, unit.NALs)
	}
}

func (c *Reel) readIVF(data []byte) error {
	const header, frameHeader = 32, 12
	if len(data) < header {
		return io.ErrUnexpectedEOF
	}
	for data = data[header:]; len(data) > frameHeader; {
		size := int(encoding.LittleEndian.Uint32(data))
		if size == 0 || len(data) < frameHeader+size {
			return io.ErrUnexpectedEOF
		}
		frame := data[frameHeader : frameHeader+size]
		if key := frame[0]&1 == 0; key != (len(c.units)%c.GOP == 0) { // RFC 6386, section 9.1
			return fmt.Errorf("picture %d: key frame %v", len(c.units), key)
		}
		c.units = append(c.units, [][]byte{frame})
		data = data[frameHeader+size:]
	}
	return nil
}
