package rtsp_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bluenviron/gortsplib/v5/pkg/format"

	"github.com/kvsagent/kvsagent/media"
	"github.com/kvsagent/kvsagent/media/rtsp"
)

// TestSeldomKeys: key frames further apart than 15 s are told, once, and others are not.
func TestSeldomKeys(t *testing.T) {
	for every, want := range map[time.Duration]int{
		2 * time.Second: 0, 10 * time.Second: 0, 14 * time.Second: 0, 16 * time.Second: 1, time.Minute: 1, time.Hour: 1,
	} {
		var k rtsp.Keys
		told := 0
		for at := time.Duration(0); at < 5*time.Minute; at += 100 * time.Millisecond {
			if note := k.Frame(at%every == 0, time.Unix(0, 0).Add(at)); note != "" {
				if told++; !strings.Contains(note, "hint: set the camera's key frame (I-frame) interval") {
					t.Errorf("note: %s", note)
				}
			}
		}
		if told != want {
			t.Errorf("a key frame every %v: told %d times, want %d", every, told, want)
		}
	}
}

// TestRecoveryPoints: a camera that sends no IDR picture, but refreshes its pictures strip by strip, is entered at a
// recovery point, and its pictures are whole after a while.
func TestRecoveryPoints(t *testing.T) {
	c := encode(t, "-bf", "0", "-x264-params", "intra-refresh=1:keyint=10")
	var frames []*media.Frame
	v, err := rtsp.NewVideo(&format.H264{PayloadTyp: 96, PacketizationMode: 1, SPS: c.sps, PPS: c.pps},
		func(f *media.Frame) { frames = append(frames, f) })
	if err != nil {
		t.Fatal(err)
	}
	enc, err := (&format.H264{PayloadTyp: 96, PacketizationMode: 1}).CreateEncoder()
	if err != nil {
		t.Fatal(err)
	}
	now := time.Unix(0, 0)
	for n := range 400 {
		packets, err := enc.Encode(c.units[1+n%49])
		if err != nil {
			t.Fatal(err)
		}
		now = now.Add(40 * time.Millisecond)
		for _, pkt := range packets {
			pkt.Timestamp = uint32(n * 3600)
			if damage, fatal := v.Packet(pkt, int64(n*3600), now); damage != nil || fatal != nil {
				t.Fatal(damage, fatal)
			}
		}
	}
	keys := 0
	for _, f := range frames {
		if f.Key {
			if keys++; f.Data[0][0]&0x1f != 7 || f.Data[1][0]&0x1f != 8 {
				t.Fatal("an entry without its parameter sets")
			}
		}
	}
	if len(frames) < 250 || !frames[0].Key || keys < 20 {
		t.Fatalf("%d pictures, %d of them entries, want those after the first five seconds", len(frames), keys)
	}
	var stream []byte
	for _, f := range frames[:45] {
		for _, nal := range f.Data {
			stream = append(append(stream, 0, 0, 0, 1), nal...)
		}
	}
	file := filepath.Join(t.TempDir(), "a.h264")
	if err := os.WriteFile(file, stream, 0o600); err != nil {
		t.Fatal(err)
	}
	if shown := strings.Count(run(t, "ffmpeg", "-v", "error", "-i", file, "-f", "framemd5", "-"), "\n0,"); shown < 30 {
		t.Errorf("a decoder shows %d pictures of 45", shown)
	}
}
