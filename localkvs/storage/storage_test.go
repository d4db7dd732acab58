package storage_test

import (
	"context"
	"encoding/json"
	"image"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
	pionmedia "github.com/pion/webrtc/v4/pkg/media"

	"github.com/kvsagent/kvsagent/localkvs/storage"
	"github.com/kvsagent/kvsagent/media"
	"github.com/kvsagent/kvsagent/media/testpattern"
)

func glob(t *testing.T, dir string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, "*.mp4"))
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// camera is the test pattern as a master sends it. It plays for as long as the test runs.
type camera struct {
	t            *testing.T
	video, audio *webrtc.TrackLocalStaticSample
	mu           sync.Mutex
	last         map[media.Codec]time.Duration
	pictures     atomic.Int64 // sent
}

func newCamera(t *testing.T) *camera {
	t.Helper()
	c := &camera{t: t, last: map[media.Codec]time.Duration{}}
	track := func(mime string) *webrtc.TrackLocalStaticSample {
		tr, err := webrtc.NewTrackLocalStaticSample(webrtc.RTPCodecCapability{MimeType: mime}, mime, "cam")
		if err != nil {
			t.Fatal(err)
		}
		return tr
	}
	c.video, c.audio = track(webrtc.MimeTypeH264), track(webrtc.MimeTypeOpus)
	source, err := testpattern.New(testpattern.Options{Size: image.Pt(320, 180), GOP: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := source.Run(ctx, c); err != nil && ctx.Err() == nil {
			t.Errorf("source: %v", err)
		}
	})
	t.Cleanup(func() { stop(); wg.Wait() })
	return c
}

func (c *camera) Tracks([]media.Track) {}

func (c *camera) Write(f *media.Frame) {
	c.mu.Lock()
	defer c.mu.Unlock()
	to, data := c.audio, f.Data[0]
	if f.Codec.Video() {
		to, data = c.video, nil
		for _, nal := range f.Data {
			data = append(append(data, 0, 0, 0, 1), nal...)
		}
		c.pictures.Add(1)
	}
	step := f.PTS - c.last[f.Codec]
	c.last[f.Codec] = f.PTS
	_ = to.WriteSample(pionmedia.Sample{Data: data, Duration: step}) // a closed connection is detected elsewhere
}

// sends adds tracks, all of them or some.
func sends(t *testing.T, tracks ...webrtc.TrackLocal) func(*webrtc.PeerConnection) {
	return func(pc *webrtc.PeerConnection) {
		for _, tr := range tracks {
			if _, err := pc.AddTrack(tr); err != nil {
				t.Errorf("add track: %v", err)
			}
		}
	}
}

// TestRecord: a master's session from its join to a file that ffprobe and ffmpeg accept.
func TestRecord(t *testing.T) {
	s := start(t, storage.Options{})
	cam := newCamera(t)
	master := s.connect("", sends(t, cam.video, cam.audio))
	s.join("")
	offer := wait(t, "the offer", master.frames)
	for _, want := range []string{"SDP_OFFER ", "a=ice-options:trickle", "m=video", "m=audio", "H264/90000",
		"opus/48000/2", "a=recvonly"} {
		if !strings.Contains(offer, want) {
			t.Errorf("the offer has no %q: %s", want, offer)
		}
	}
	if strings.Contains(offer, "m=application") || strings.Contains(offer, "a=send") {
		t.Errorf("the offer sends something or has a data channel: %s", offer)
	}
	for relay := false; !relay; {
		candidate := wait(t, "a relay candidate", master.frames)
		relay = strings.Contains(candidate, "typ relay")
		if strings.Contains(candidate, "sdpMid") {
			t.Errorf("%s has sdpMid, which the service's lack", candidate)
		}
	}
	eventually(t, "a file", func() bool { return len(s.files()) == 1 })
	before := cam.pictures.Load()
	eventually(t, "2.5 seconds of pictures", func() bool { return cam.pictures.Load() >= before+75 })
	master.close()
	if err := wait(t, "the end of the session", s.ended); err == nil {
		t.Error("the session ended without a reason")
	}
	file := s.files()[0]
	if !strings.HasPrefix(filepath.Base(file), "cam-") {
		t.Errorf("file %s, want one named for the channel", file)
	}
	f := probe(t, file)
	if len(f.Streams) != 2 || f.Streams[0].Codec != "h264" || f.Streams[0].Width != 320 || f.Streams[0].Height != 180 ||
		f.Streams[1].Codec != "opus" {
		t.Errorf("streams %+v, want h264 320x180 and opus", f.Streams)
	}
	for _, st := range f.Streams {
		n, errN := strconv.Atoi(st.Packets)
		begin, errB := strconv.ParseFloat(st.Start, 64)
		if want := map[string]int{"h264": 50, "opus": 80}[st.Codec]; errN != nil || n < want {
			t.Errorf("%s: %s packets, want %d or more", st.Codec, st.Packets, want)
		}
		if errB != nil || begin > 0.2 {
			t.Errorf("%s begins at %s, want near 0", st.Codec, st.Start)
		}
	}
	if length, err := strconv.ParseFloat(f.Format.Duration, 64); err != nil || length < 1.8 || length > 30 {
		t.Errorf("it lasts %s seconds, want some 2.5", f.Format.Duration)
	}
	if out, err := exec.Command("ffmpeg", "-nostdin", "-v", "error", "-xerror", "-i", file, "-f", "null",
		"-").CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("ffmpeg: %v: %s", err, out)
	}
}

// TestShow: a viewer sees and hears the master, and continues when the master joins again.
func TestShow(t *testing.T) {
	s := start(t, storage.Options{})
	cam := newCamera(t)
	s.connect("", sends(t, cam.video, cam.audio))
	s.join("")
	eventually(t, "a file", func() bool { return len(s.files()) == 1 })

	pictures, sounds := make(chan *rtp.Packet, 10000), make(chan *rtp.Packet, 10000)
	viewer := s.connect("v", func(pc *webrtc.PeerConnection) {
		pc.OnTrack(func(tr *webrtc.TrackRemote, _ *webrtc.RTPReceiver) {
			to := map[string]chan *rtp.Packet{webrtc.MimeTypeH264: pictures,
				webrtc.MimeTypeOpus: sounds}[tr.Codec().MimeType]
			for {
				p, _, err := tr.ReadRTP()
				if err != nil {
					return
				}
				to <- p
			}
		})
	})
	s.join("v")
	if offer := wait(t, "the offer", viewer.frames); strings.Contains(offer, "a=recvonly") ||
		!strings.Contains(offer, "a=sendonly") {
		t.Errorf("the offer to a viewer does not send: %s", offer)
	}
	first := untilKey(t, pictures)
	wait(t, "sound", sounds)

	s.join("") // the master joins again
	if err := wait(t, "the end of the first session", s.ended); err == nil {
		t.Error("the first session ended without a reason")
	}
	eventually(t, "a second file", func() bool { return len(s.files()) == 2 })
	last := first.SequenceNumber
	for seen := len(pictures) + 200; seen > 0; seen-- {
		p := wait(t, "pictures of the second session", pictures)
		if gap := p.SequenceNumber - last; gap == 0 || gap > 100 {
			t.Fatalf("sequence number %d follows %d", p.SequenceNumber, last)
		}
		last = p.SequenceNumber
	}
}

// untilKey waits for a packet of an IDR picture or of parameter sets, where decoding can begin.
func untilKey(t *testing.T, from <-chan *rtp.Packet) *rtp.Packet {
	t.Helper()
	for {
		p := wait(t, "a key frame", from)
		if len(p.Payload) < 2 {
			continue
		}
		kind := p.Payload[0] & 0x1f
		if kind == 28 { // FU-A
			kind = p.Payload[1] & 0x1f
		}
		if kind == 5 || kind == 7 || kind == 24 { // IDR, SPS, STAP-A
			return p
		}
	}
}

func TestRefused(t *testing.T) {
	cam := newCamera(t)
	answering := func(video, audio string) func(string) string {
		return func(sdp string) string {
			head, tail, _ := strings.Cut(sdp, "m=audio")
			return strings.Replace(head, "a=sendonly", "a="+video, 1) + "m=audio" + strings.Replace(tail, "a=sendonly",
				"a="+audio, 1)
		}
	}
	for _, tt := range []struct {
		name string
		edit func(string) string
		want string
	}{
		{"no sound", answering("sendonly", "inactive"), "no audio"},
		{"no picture", answering("inactive", "sendonly"), "no video"},
		{"wants to watch", answering("recvonly", "recvonly"), "no video"},
		{"not an answer", func(string) string { return "v=0" }, "answer"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := start(t, storage.Options{})
			s.connect("", sends(t, cam.video, cam.audio), tt.edit)
			s.join("")
			if err := wait(t, "the end of the session", s.ended); err == nil ||
				!strings.Contains(err.Error(), tt.want) {
				t.Errorf("ended with %v, want %q", err, tt.want)
			}
			if files := s.files(); len(files) != 0 {
				t.Errorf("files %v, want none", files)
			}
		})
	}
}

// TestIdle: a master agrees to everything and then sends nothing.
func TestIdle(t *testing.T) {
	s := start(t, storage.Options{Idle: 200 * time.Millisecond})
	silent := func(mime string) webrtc.TrackLocal {
		tr, err := webrtc.NewTrackLocalStaticSample(webrtc.RTPCodecCapability{MimeType: mime}, mime, "cam")
		if err != nil {
			t.Fatal(err)
		}
		return tr
	}
	s.connect("", sends(t, silent(webrtc.MimeTypeH264), silent(webrtc.MimeTypeOpus)))
	s.join("")
	if err := wait(t, "the end of the session", s.ended); err == nil || !strings.Contains(err.Error(), "no media") {
		t.Errorf("ended with %v, want one that says that no media came", err)
	}
}

type probed struct {
	Streams []struct {
		Codec         string `json:"codec_name"`
		Width, Height int
		Packets       string `json:"nb_read_packets"`
		Start         string `json:"start_time"`
	}
	Format struct{ Duration string }
}

func probe(t *testing.T, file string) (p probed) {
	t.Helper()
	out, err := exec.Command("ffprobe", "-v", "error", "-count_packets", "-show_streams", "-show_format", "-of", "json",
		file).Output()
	if err != nil {
		t.Fatalf("ffprobe (a test needs it: apt-get install ffmpeg): %v", err)
	}
	if err := json.Unmarshal(out, &p); err != nil {
		t.Fatal(err)
	}
	return p
}

// eventually asks until the answer is yes.
func eventually(t *testing.T, what string, ask func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ask(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}
