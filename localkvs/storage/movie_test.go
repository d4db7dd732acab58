package storage

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/formats/fmp4"
)

// Parameter sets of a 640x480 picture, High profile, from ffmpeg's encoder.
var (
	testSPS = []byte{0x67, 0x64, 0x00, 0x1e, 0xac, 0xd9, 0x40, 0xa0, 0x3d, 0xa1, 0x00, 0x00, 0x03, 0x00, 0x01, 0x00,
		0x00, 0x03, 0x00, 0x32, 0x0f, 0x16, 0x2d, 0x96}
	testPPS = []byte{0x68, 0xeb, 0xe3, 0xcb, 0x22, 0xc0}
)

func annexB(nals ...[]byte) (b []byte) {
	for _, n := range nals {
		b = append(append(b, 0, 0, 0, 1), n...)
	}
	return b
}

// TestMovieTimes writes a movie whose RTP times wrap, with early audio, a time that stands still, and a new size in the
// middle, and reads it back.
func TestMovieTimes(t *testing.T) {
	dir := t.TempDir()
	m := newMovie(dir, "cam")
	begin := time.Date(2026, 1, 2, 3, 4, 5, 6e6, time.UTC)
	key, err := parseUnit(annexB(testSPS, testPPS, []byte{0x65, 1, 2, 3}))
	if err != nil || !key.key || key.sps == nil || key.pps == nil {
		t.Fatalf("key frame: %+v, %v", key, err)
	}
	bare, err := parseUnit(annexB([]byte{0x65, 1}))
	if err != nil {
		t.Fatal(err)
	}
	delta, err := parseUnit(annexB([]byte{0x41, 1}))
	if err != nil || delta.key {
		t.Fatalf("delta: %+v, %v", delta, err)
	}
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	check(m.sound([]byte{1}, 5, begin)) // none of these can be shown
	check(m.picture(delta, 7, begin))
	check(m.picture(bare, 8, begin))
	if found, _ := filepath.Glob(dir + "/*"); len(found) != 0 {
		t.Fatalf("files %v before a key frame with its parameter sets", found)
	}
	var videoStamp, audioStamp uint32 = 1<<32 - 4500, 1<<32 - 480
	check(m.picture(key, videoStamp, begin))
	for i := range uint32(100) {
		at := begin.Add(time.Duration(i) * 20 * time.Millisecond)
		check(m.sound([]byte{byte(i)}, audioStamp+960*i, at))
		u := delta
		if i%25 == 24 {
			u = key
		}
		check(m.picture(u, videoStamp+1800*(i+1), at.Add(20*time.Millisecond)))
	}
	check(m.picture(delta, videoStamp+1800*100, begin.Add(2020*time.Millisecond))) // the time stands still
	check(m.finish())

	text, err := os.ReadFile(filepath.Join(dir, "cam-20260102T030405.006Z.mp4"))
	check(err)
	var parts fmp4.Parts
	check(parts.Unmarshal(text))
	if len(parts) != 3 {
		t.Errorf("%d fragments, want one each second and the rest", len(parts))
	}
	end, samples := map[int]uint64{}, map[int]int{}
	for _, p := range parts {
		for _, tr := range p.Tracks {
			if tr.BaseTime != end[tr.ID] {
				t.Errorf("a fragment of track %d begins at %d, want %d, where the one before ended", tr.ID, tr.BaseTime,
					end[tr.ID])
			}
			for _, s := range tr.Samples {
				if s.Duration == 0 {
					t.Errorf("track %d has a sample of no duration", tr.ID)
				}
				end[tr.ID] += uint64(s.Duration)
				samples[tr.ID]++
			}
		}
	}
	if samples[1] != 102 || end[1] != 1800*100+1+1 {
		t.Errorf("%d pictures until %d, want 102 until %d", samples[1], end[1], 1800*100+2)
	}
	if samples[2] != 100 || end[2] != 960*100 {
		t.Errorf("%d packets of sound until %d, want 100 until %d", samples[2], end[2], 960*100)
	}
}

func TestOverUDP(t *testing.T) {
	for _, tt := range []struct {
		uris     []string
		want     string
		loopback bool
	}{
		{[]string{"turns:127.0.0.1:2?transport=tcp", "turn:127.0.0.1:1?transport=tcp",
			"turn:127.0.0.1:1?transport=udp"}, "turn:127.0.0.1:1?transport=udp", true},
		{[]string{"turn:192.0.2.1:3478?transport=udp"}, "turn:192.0.2.1:3478?transport=udp", false},
		{[]string{"turn:[::1]:3478?transport=udp"}, "turn:[::1]:3478?transport=udp", true},
		{nil, "", false},
	} {
		if got, loopback := overUDP(tt.uris); got != tt.want || loopback != tt.loopback {
			t.Errorf("overUDP(%v) = %q, %v; want %q, %v", tt.uris, got, loopback, tt.want, tt.loopback)
		}
	}
}

func FuzzParseUnit(f *testing.F) {
	f.Add(annexB(testSPS, testPPS, []byte{0x65, 1, 2, 3}))
	f.Add([]byte{0, 0, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		if u, err := parseUnit(b); err == nil && len(u.payload) == 0 {
			t.Errorf("%x: no error and no payload", b)
		}
	})
}
