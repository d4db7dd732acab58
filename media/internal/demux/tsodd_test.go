package demux_test

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/bits"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/kvsagent/kvsagent/media"
	"github.com/kvsagent/kvsagent/media/internal/demux"
	"github.com/kvsagent/kvsagent/media/internal/es"
)

// muxer makes an MPEG transport stream as an encoder might that has read only the syntax.
type muxer struct {
	bytes.Buffer
	counter map[uint16]byte
}

// packets puts a payload into packets of one PID. A section begins with its pointer.
func (m *muxer) packets(pid uint16, payload []byte) {
	if m.counter == nil {
		m.counter = map[uint16]byte{}
	}
	for first := true; len(payload) > 0; first = false {
		p := []byte{0x47, byte(pid >> 8), byte(pid), 0x10 | m.counter[pid]&0xf}
		m.counter[pid]++
		if first {
			p[1] |= 0x40
		}
		if room := 184 - len(payload); room > 0 { // an adaptation field fills it
			p[3] |= 0x20
			if p = append(p, byte(room-1)); room > 1 {
				p = append(append(p, 0), bytes.Repeat([]byte{0xff}, room-2)...)
			}
		}
		n := 188 - len(p)
		m.Write(append(p, payload[:n]...))
		payload = payload[n:]
	}
}

func (m *muxer) section(pid uint16, table byte, id uint16, body []byte) {
	s := append([]byte{0, table, 0xb0, byte(len(body) + 9), byte(id >> 8), byte(id), 0xc1, 0, 0}, body...)
	// The CRC of MPEG is that of Ethernet with all bits the other way around.
	mirrored := make([]byte, len(s)-1)
	for i, b := range s[1:] {
		mirrored[i] = bits.Reverse8(b)
	}
	crc := bits.Reverse32(^crc32.ChecksumIEEE(mirrored))
	m.packets(pid, append(s, byte(crc>>24), byte(crc>>16), byte(crc>>8), byte(crc)))
}

// tables describes programs, each by its PMT's PID and its streams: type and PID.
func (m *muxer) tables(programs ...prog) {
	var list []byte
	for _, p := range programs {
		list = append(list, 0, p.number, 0xe0|byte(p.pid>>8), byte(p.pid))
	}
	m.section(0, 0, 1, list)
	for _, p := range programs {
		if p.absent {
			continue
		}
		body := []byte{0xe1, 0, 0xf0, 0}
		for kind, pid := range p.streams {
			body = append(body, kind, 0xe0|byte(pid>>8), byte(pid), 0xf0, 0)
		}
		m.section(p.pid, 2, uint16(p.number), body)
	}
}

type prog struct {
	number  byte
	pid     uint16
	streams map[byte]uint16
	absent  bool // its map never comes
}

const noTime = -1

// pes writes a PES packet of PID 0x100; ms is its time or noTime. sized says that it states its length.
func (m *muxer) pes(ms int, sized bool, payload []byte) {
	header := []byte{0, 0, 1, 0xe0, 0, 0, 0x80, 0, 0}
	if ms != noTime {
		t := int64(ms) * 90
		header[7], header[8] = 0x80, 5
		header = append(header, 0x21|byte(t>>29)&0xe, byte(t>>22), byte(t>>14)|1, byte(t>>7), byte(t<<1)|1)
	}
	if n := len(header) - 6 + len(payload); sized {
		if n > 65535 {
			panic("too long for its length field")
		}
		header[4], header[5] = byte(n>>8), byte(n)
	}
	m.packets(0x100, append(header, payload...))
}

var tv = prog{number: 1, pid: 0x1000, streams: map[byte]uint16{0x1b: 0x100}}

// units makes 50 pictures of four slices at 25 a second, each as a list of NAL units.
func units(t *testing.T, args string) (all [][][]byte) {
	t.Helper()
	s, err := demux.Open(bytes.NewReader(record(t, strings.Fields("-map 0:v -c:v libx264 -preset ultrafast -bf 0 "+
		"-x264-params slices=4:sliced-threads=0:fps=0 "+args+" -f h264")...)))
	if err != nil {
		t.Fatal(err)
	}
	for {
		u, err := s.Next()
		if err != nil {
			return all
		}
		all = append(all, u.Data)
	}
}

// annexB puts a start code before each NAL unit.
func annexB(nals ...[]byte) (b []byte) {
	for _, nal := range nals {
		b = append(append(b, 0, 0, 0, 1), nal...)
	}
	return b
}

// TestPES: access units are what the slices say, however they are spread over PES packets, and each has its time.
func TestPES(t *testing.T) {
	all := units(t, "-b:v 1M")
	each := func(put func(m *muxer, n int, au [][]byte)) func(m *muxer) {
		return func(m *muxer) {
			for n, au := range all {
				put(m, n, au)
			}
		}
	}
	for name, put := range map[string]func(m *muxer){
		"one picture in one": each(func(m *muxer, n int, au [][]byte) { m.pes(1000+n*40, false, annexB(au...)) }),
		"with lengths":       each(func(m *muxer, n int, au [][]byte) { m.pes(1000+n*40, true, annexB(au...)) }),
		"with delimiters": each(func(m *muxer, n int, au [][]byte) {
			m.pes(1000+n*40, true, append([]byte{0, 0, 0, 1, 9, 0xf0}, annexB(au...)...))
		}),
		"each fifth has a time": each(func(m *muxer, n int, au [][]byte) {
			at := noTime
			if n%5 == 0 {
				at = 1000 + n*40
			}
			m.pes(at, n%2 == 0, annexB(au...))
		}),
		"the first two have none": each(func(m *muxer, n int, au [][]byte) {
			at := noTime
			if n > 1 {
				at = 1000 + n*40
			}
			m.pes(at, true, annexB(au...))
		}),
		"each NAL unit in one": each(func(m *muxer, n int, au [][]byte) {
			for _, nal := range au {
				m.pes(1000+n*40, true, annexB(nal))
			}
		}),
		"each NAL unit in one, the first with a time": each(func(m *muxer, n int, au [][]byte) {
			for i, nal := range au {
				at := noTime
				if i == 0 {
					at = 1000 + n*40
				}
				m.pes(at, i%2 == 0, annexB(nal))
			}
		}),
		"cut anywhere": each(func(m *muxer, n int, au [][]byte) {
			b := annexB(au...)
			for i := 0; len(b) > 0; i++ {
				at, size := noTime, min(len(b), 700+n)
				if i == 0 {
					at = 1000 + n*40
				}
				m.pes(at, true, b[:size])
				b = b[size:]
			}
		}),
		"key frames cut": each(func(m *muxer, n int, au [][]byte) {
			b := annexB(au...)
			if size := len(b) / 2; n%25 == 0 {
				m.pes(1000+n*40, true, b[:size])
				m.pes(noTime, true, b[size:])
				return
			}
			m.pes(1000+n*40, true, b)
		}),
		"five pictures in one": func(m *muxer) {
			for n := 0; n < len(all); n += 5 {
				var b []byte
				for _, au := range all[n : n+5] {
					b = append(b, annexB(au...)...)
				}
				m.pes(1000+n*40, false, b)
			}
		},
		"a picture and a half": func(m *muxer) {
			var b []byte
			begin := map[int]int{}
			for n, au := range all {
				begin[len(b)] = n
				b = append(b, annexB(au...)...)
			}
			for at := 0; at < len(b); at += 6000 {
				piece, when := b[at:min(at+6000, len(b))], noTime
				for i := range piece {
					if n, ok := begin[at+i]; ok {
						when = 1000 + n*40
						break
					}
				}
				m.pes(when, true, piece)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := &muxer{}
			m.tables(tv)
			put(m)
			checkUnits(t, m.Bytes(), all, true)
		})
	}
	t.Run("no times", func(t *testing.T) {
		m := &muxer{}
		m.tables(tv)
		each(func(m *muxer, _ int, au [][]byte) { m.pes(noTime, true, annexB(au...)) })(m)
		checkUnits(t, m.Bytes(), all, false)
	})
}

// checkUnits wants all pictures of a stream, whole, at 25 a second from one second on.
func checkUnits(t *testing.T, stream []byte, all [][][]byte, timed bool) {
	t.Helper()
	s, err := demux.OpenTS(bytes.NewReader(stream))
	if err != nil {
		t.Fatal(err)
	}
	for n := 0; ; n++ {
		u, err := s.Next()
		if errors.Is(err, io.EOF) {
			if n != len(all) {
				t.Errorf("%d pictures, want %d", n, len(all))
			}
			return
		}
		if err != nil || n >= len(all) {
			t.Fatalf("picture %d: %v", n, err)
		}
		var nals [][]byte
		for _, nal := range u.Data {
			if nal[0] != 9 {
				nals = append(nals, nal)
			}
		}
		if !reflect.DeepEqual(nals, all[n]) {
			t.Fatalf("picture %d has %d NAL units, or others, want the %d that were sent", n, len(nals), len(all[n]))
		}
		want := time.Second + time.Duration(n)*40*time.Millisecond
		if off := u.PTS - want; timed && off.Abs() > time.Millisecond || !timed && u.PTS != es.Untimed {
			t.Errorf("picture %d has PTS %v, want %v", n, u.PTS, want)
		}
	}
}

// TestPESPromptness: a picture with a stated length does not wait for the next one, once it is known that its like do
// not go on in another PES packet.
func TestPESPromptness(t *testing.T) {
	m := &muxer{}
	m.tables(tv)
	var ends []int
	all := units(t, "")
	for n, au := range all {
		m.pes(1000+n*40, true, annexB(au...))
		ends = append(ends, m.Len())
	}
	for n := 30; n < 40; n++ {
		s, err := demux.OpenTS(io.MultiReader(bytes.NewReader(m.Bytes()[:ends[n]]), broken{}))
		if err != nil {
			t.Fatal(err)
		}
		got := 0
		for err == nil {
			if _, err = s.Next(); err == nil {
				got++
			}
		}
		if got != n+1 {
			t.Errorf("%d pictures of %d that have arrived", got, n+1)
		}
	}
}

// broken ends a stream in a way that is not its end.
type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errors.New("broken") }

// TestPESLoss: a lost packet costs the pictures that have a part in it, and no more.
func TestPESLoss(t *testing.T) {
	all := units(t, "-b:v 2M")
	m := &muxer{}
	m.tables(tv)
	owner := map[int]int{}
	for n, au := range all {
		for _, nal := range au {
			from := m.Len()
			m.pes(1000+n*40, true, annexB(nal))
			for at := from; at < m.Len(); at += 188 {
				owner[at] = n
			}
		}
	}
	for lost := 188 * 100; lost < m.Len()-188*20; lost += 188 * 37 {
		s, err := demux.OpenTS(bytes.NewReader(append(bytes.Clone(m.Bytes()[:lost]), m.Bytes()[lost+188:]...)))
		if err != nil {
			t.Fatal(err)
		}
		seen := map[time.Duration]bool{}
		for {
			u, err := s.Next()
			if err != nil {
				break
			}
			n := int((u.PTS - time.Second + 20*time.Millisecond) / (40 * time.Millisecond))
			if seen[u.PTS] = true; n != owner[lost] && len(u.Data) != len(all[n]) {
				t.Errorf("picture %d has %d NAL units, want %d", n, len(u.Data), len(all[n]))
			} else if n == owner[lost] && len(u.Data) != len(all[n]) {
				t.Errorf("packet at %d: a part of picture %d is shown", lost, n)
			}
		}
		if len(seen) < len(all)-2 {
			t.Errorf("packet at %d: %d pictures of %d", lost, len(seen), len(all))
		}
	}
}

// TestPrograms: the first program with video is played, wherever it stands.
func TestPrograms(t *testing.T) {
	radio := prog{number: 7, pid: 0x1007, streams: map[byte]uint16{0x0f: 0x107}}
	shared := tv
	shared.pid = radio.pid
	absent := prog{number: 9, pid: 0x1009, absent: true}
	for name, tt := range map[string]struct {
		programs []prog
		want     media.Codec
	}{
		"television":             {[]prog{tv}, media.H264},
		"radio first":            {[]prog{radio, tv}, media.H264},
		"radio last":             {[]prog{tv, radio}, media.H264},
		"radio only":             {[]prog{radio}, es.ADTS},
		"in one map's PID":       {[]prog{radio, shared}, media.H264},
		"one that never comes":   {[]prog{absent, radio, tv}, media.H264},
		"one that is not coming": {[]prog{radio, absent, tv}, media.H264},
		"MPEG-2 first": {[]prog{{number: 3, pid: 0x1003, streams: map[byte]uint16{2: 0x103}}, radio, tv},
			media.H264},
	} {
		m := &muxer{}
		for range 3 {
			m.tables(tt.programs...)
		}
		for n, au := range units(t, "")[:3] {
			m.pes(n*40, true, annexB(au...))
		}
		s, err := demux.OpenTS(bytes.NewReader(m.Bytes()))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if tracks := s.Tracks(); len(tracks) != 1 || tracks[0].Codec != tt.want {
			t.Errorf("%s: %v, want %s", name, tracks, tt.want)
		}
	}
}

// TestPacketSizes: with a time stamp before each packet, or error correction behind it, also from the middle on.
func TestPacketSizes(t *testing.T) {
	all := units(t, "")
	m := &muxer{}
	m.tables(tv)
	for n, au := range all {
		m.pes(1000+n*40, true, annexB(au...))
	}
	for _, tt := range []struct{ before, after int }{{0, 0}, {4, 0}, {0, 16}} {
		var b []byte
		for i := 0; i < m.Len(); i += 188 {
			stamp := []byte{0, byte(i >> 16), byte(i >> 8), byte(i)}
			b = append(append(b, stamp[:tt.before]...), m.Bytes()[i:i+188]...)
			for n := range tt.after {
				b = append(b, byte(0x47+n*i/188)) // some look like the start of a packet
			}
		}
		name := fmt.Sprint(188 + tt.before + tt.after)
		t.Run(name, func(t *testing.T) {
			s, err := demux.Open(bytes.NewReader(b))
			if err != nil || len(s.Tracks()) != 1 {
				t.Fatal(s, err)
			}
			checkUnits(t, b, all, true)
			checkUnits(t, append(bytes.Repeat([]byte{1, 0x47, 3}, 50), b...), all, true)
		})
	}
}
