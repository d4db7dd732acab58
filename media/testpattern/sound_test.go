package testpattern

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"testing"
	"time"
)

// TestSound plays three rounds of the loop through ffmpeg and listens: a hit on each second, louder on the side that
// the ball is at, silence between, nowhere too loud, and no click where the loop begins again.
func TestSound(t *testing.T) {
	const seconds = 6
	s, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	var packets [][]byte
	for n := range seconds * packetsPerSecond {
		packets = append(packets, s.packet(int64(n), 0, time.Time{}).Data[0])
	}
	pcm := run(t, ogg(packets), "ffmpeg", "-nostdin", "-loglevel", "warning", "-xerror", "-err_detect", "explode",
		"-f", "ogg", "-i", "pipe:0", "-f", "f32le", "pipe:1")
	left, right := channels(pcm)
	if len(left) != seconds*48000 {
		t.Fatalf("%d samples, want %d", len(left), seconds*48000)
	}
	for second := range seconds {
		begin := second * 48000
		loud, faint := left, right
		if second%2 == 1 {
			loud, faint = right, left
		}
		l, f := peak(loud[begin:begin+4800]), peak(faint[begin:begin+4800])
		if l < 0.15 || l > 0.7 || f > 0.7*l {
			t.Errorf("second %d: the hit peaks at %.2f on its side and %.2f on the other, want 0.15 to 0.7, and "+
				"clearly less", second, l, f)
		}
		for name, side := range map[string][]float64{"left": left, "right": right} {
			if p := peak(side[begin+24000 : begin+47000]); p > 0.002 {
				t.Errorf("second %d, %s: %.4f where silence should be", second, name, p)
			}
		}
		if second == 0 {
			continue // a decoder's first packet lacks its predecessor
		}
		if at := onset(loud[begin-4800:], l/4) - 4800; at < -240 || at > 480 {
			t.Errorf("second %d: the hit is heard %d samples after the second, want -240 to 480", second, at)
		}
	}
}

func TestSoundIsSmall(t *testing.T) {
	s, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := len(s.sound), 2*packetsPerSecond; got != want {
		t.Errorf("the loop has %d packets, want %d, two beats", got, want)
	}
	for n, p := range s.sound {
		// Configurations 15, 19, 23, 27 and 31 are 20 ms; so are 1, 5 and 9, and 13 (RFC 6716 table 2). Code 0 is one
		// frame.
		if config := p[0] >> 3; config%4 != 3 || config < 12 || p[0]&3 != 0 {
			t.Errorf("packet %d begins with %#x, want one frame of 20 ms of hybrid or CELT", n, p[0])
		}
		if len(p) > 400 {
			t.Errorf("packet %d has %d bytes, want at most 400", n, len(p))
		}
	}
}

func TestBrokenOgg(t *testing.T) {
	for name, broken := range map[string][]byte{
		"empty": nil, "not ogg": bytes.Repeat([]byte("x"), 64), "cut in a header": hits[:20],
		"cut in the lacing": hits[:27],
		"cut in a packet":   hits[:len(hits)-1], "too short": ogg(nil),
	} {
		if packets, err := loop(broken); err == nil {
			t.Errorf("%s: loop = %d packets, want an error", name, len(packets))
		}
	}
}

func channels(pcm []byte) (left, right []float64) {
	for ; len(pcm) >= 8; pcm = pcm[8:] {
		left = append(left, float64(math.Float32frombits(binary.LittleEndian.Uint32(pcm))))
		right = append(right, float64(math.Float32frombits(binary.LittleEndian.Uint32(pcm[4:]))))
	}
	return left, right
}

func peak(samples []float64) (p float64) {
	for _, v := range samples {
		p = max(p, math.Abs(v))
	}
	return p
}

// onset returns the index of the first sample that is louder than level.
func onset(samples []float64, level float64) int {
	for i, v := range samples {
		if math.Abs(v) > level {
			return i
		}
	}
	return len(samples)
}

// ogg puts Opus packets into a file, a page each, with no pre-skip (RFC 7845).
func ogg(packets [][]byte) []byte {
	head := append([]byte("OpusHead\x01\x02"), 0, 0, 0x80, 0xBB, 0, 0, 0, 0, 0)
	tags := append([]byte("OpusTags"), 0, 0, 0, 0, 0, 0, 0, 0)
	var out []byte
	for i, packet := range append([][]byte{head, tags}, packets...) {
		flags := byte(0)
		switch i {
		case 0:
			flags = 2 // the first page
		case len(packets) + 1:
			flags = 4 // the last one
		}
		page := fmt.Appendf(nil, "OggS\x00%c", flags)
		page = binary.LittleEndian.AppendUint64(page, uint64(max(i-1, 0)*960))
		page = binary.LittleEndian.AppendUint32(page, 1)
		page = binary.LittleEndian.AppendUint32(page, uint32(i))
		page = append(page, 0, 0, 0, 0)
		page = append(page, byte(len(packet)/255+1))
		page = append(page, bytes.Repeat([]byte{255}, len(packet)/255)...)
		page = append(append(page, byte(len(packet)%255)), packet...)
		binary.LittleEndian.PutUint32(page[22:], checksum(page))
		out = append(out, page...)
	}
	return out
}

// checksum is the CRC of an Ogg page (RFC 3533 section 6).
func checksum(page []byte) (crc uint32) {
	for _, b := range page {
		crc ^= uint32(b) << 24
		for range 8 {
			carry := crc >> 31
			crc = crc<<1 ^ carry*0x04c11db7
		}
	}
	return crc
}
