package peer_test

import (
	"context"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kvsagent/kvsagent/media"
	"github.com/kvsagent/kvsagent/peer"
)

// fixed is a source of one kind of tracks that has no picture yet.
type fixed []media.Track

func (f fixed) Run(ctx context.Context, out media.Sink) error {
	out.Tracks(f)
	<-ctx.Done()
	return nil
}

// TestAnswersToEveryClient answers the offers of the clients there are; each has its own way. The first section of
// testdata's names says whose they are. What is wanted of each section of the answer: port 0 or not, the format, a
// direction, and whether candidates stand in it.
func TestAnswersToEveryClient(t *testing.T) {
	camera := fixed{{Codec: media.H264, SPS: sps, PPS: []byte{0x68}}, {Codec: media.Opus, Channels: 2}}
	high := fixed{{Codec: media.H264, SPS: []byte{0x67, 0x64, 0x00, 0x28}, PPS: []byte{0x68}}}
	alaw := fixed{{Codec: media.H264, SPS: sps, PPS: []byte{0x68}}, {Codec: media.PCMA, Channels: 1}}
	for _, tt := range []struct {
		client string
		source fixed
		want   []string // lines of the answer, in order
		inline bool     // candidates stand in the answer
		reason string   // of a refusal
	}{
		{"chromium", camera, []string{"m=audio 9 UDP/TLS/RTP/SAVPF 111", "a=mid:0", "a=sendonly",
			"m=video 9 UDP/TLS/RTP/SAVPF 102", "a=mid:1", "profile-level-id=42001f", "a=sendonly"}, false, ""},
		{"chromium", high, []string{"m=audio 9", "a=mid:0", "a=inactive", "m=video 9 UDP/TLS/RTP/SAVPF 127", "a=mid:1",
			"profile-level-id=4d0028", "a=sendonly"}, false, ""}, // the level is the stream's
		{"chromium", alaw, []string{"m=audio 9 UDP/TLS/RTP/SAVPF", " 8", "a=sendonly", "m=video 9", "a=sendonly"},
			false, ""},
		{"chromium-js-viewer", camera, []string{"m=audio 9", "a=mid:0", "a=sendonly", "m=video 9", "a=mid:1",
			"a=sendonly", "m=application 9", "a=mid:2"}, false, ""},
		{"firefox", camera, nil, false, "no common video codec: the remote takes VP8, VP9, AV1; the source gives H264"},
		{"firefox-h264", camera, []string{"m=audio 9 UDP/TLS/RTP/SAVPF 109", "a=sendonly",
			"m=video 9 UDP/TLS/RTP/SAVPF 126", "a=sendonly"}, false, ""},
		{"safari", camera, []string{"m=audio 9 UDP/TLS/RTP/SAVPF 111", "m=video 9 UDP/TLS/RTP/SAVPF 98",
			"profile-level-id=42e01f"}, false, ""},
		{"safari", high, []string{"m=audio 9", "a=inactive", "m=video 9 UDP/TLS/RTP/SAVPF 96",
			"profile-level-id=640c28"}, false, ""},
		{"c-sdk-viewer", camera, []string{"m=video 9 UDP/TLS/RTP/SAVPF 125", "a=mid:0", "a=sendonly",
			"m=audio 9 UDP/TLS/RTP/SAVPF 111", "a=mid:1", "a=sendonly"}, true, ""},
		{"android", camera, []string{"m=audio 9", "a=mid:0", "m=video 9 UDP/TLS/RTP/SAVPF 125", "a=mid:1",
			"m=application 9", "a=mid:2"}, false, ""},
		{"ios", camera, []string{"m=audio 9", "m=video 9 UDP/TLS/RTP/SAVPF 98"}, false, ""},
		{"python-aiortc", camera, []string{"m=audio 9 UDP/TLS/RTP/SAVPF 96", "m=video 9 UDP/TLS/RTP/SAVPF 99"},
			true, ""},
		{"gstreamer", camera, []string{"m=video 9 UDP/TLS/RTP/SAVPF 96", "a=mid:video0", "a=sendonly",
			"m=audio 9 UDP/TLS/RTP/SAVPF 97", "a=mid:audio1", "a=sendonly"}, false, ""},
		{"embedded-pcma", alaw, []string{"m=video 9 UDP/TLS/RTP/SAVPF 125", "m=audio 9 UDP/TLS/RTP/SAVPF 8",
			"a=sendonly"}, true, ""},
		{"embedded-pcma", camera, []string{"m=video 9 UDP/TLS/RTP/SAVPF 125", "a=sendonly",
			"m=audio 9 UDP/TLS/RTP/SAVPF 8", "a=inactive"}, true, ""},
	} {
		t.Run(tt.client, func(t *testing.T) {
			offer, err := os.ReadFile("testdata/" + tt.client + ".sdp")
			if err != nil {
				t.Fatal(err)
			}
			sdp := strings.ReplaceAll(string(offer), "\n", "\r\n")
			answer, err := answerTo(t, sdp, tt.source, nil)
			if tt.reason != "" {
				if err == nil || !strings.Contains(err.Error(), tt.reason) ||
					!strings.Contains(answer, "s="+peer.ReasonNoCommonCodec.Text()) ||
					strings.Contains(answer, "m=video 9") {
					t.Errorf("Run = %v, answer\n%s\nwant a refusal: %s", err, answer, tt.reason)
				}
				return
			}
			rest := answer
			for _, want := range tt.want {
				_, after, ok := strings.Cut(rest, want)
				if !ok {
					t.Fatalf("%q is missing, or comes too early, in\n%s", want, answer)
				}
				rest = after
			}
			if got := strings.Contains(answer, "a=candidate:"); got != tt.inline {
				t.Errorf("candidates in the answer: %v, want %v", got, tt.inline)
			}
			if size := (len(answer)+2*strings.Count(answer, "\n")+30)*4/3 + 4; size > 10_000 ||
				!strings.HasSuffix(answer, "\r\n") {
				t.Errorf("the answer has %d characters on the wire, at most 10000 fit; it must end with a line's end",
					size)
			}
			if strings.Count(answer, "\nm=") != strings.Count(sdp, "\nm=") {
				t.Errorf("%d sections for %d", strings.Count(answer, "\nm="), strings.Count(sdp, "\nm="))
			}
		})
	}
}

// TestViewersWithoutTheMainCodec gets a viewer who cannot decode an H.265 camera that camera's smaller stream, in
// H.264.
func TestViewersWithoutTheMainCodec(t *testing.T) {
	offer, err := os.ReadFile("testdata/chromium.sdp")
	if err != nil {
		t.Fatal(err)
	}
	sdp := strings.ReplaceAll(string(offer), "\n", "\r\n")
	main := fixed{{Codec: media.H265}, {Codec: media.Opus, Channels: 2}}
	if _, err := answerTo(t, sdp, main, nil); err == nil || !strings.Contains(err.Error(), "the source gives H265") {
		t.Errorf("without a smaller stream: %v, want a refusal", err)
	}
	answer, err := answerTo(t, sdp, main, fixed{{Codec: media.H264, SPS: sps, PPS: []byte{0x68}}})
	if err != nil || !strings.Contains(answer, "m=audio 9 UDP/TLS/RTP/SAVPF 111") ||
		!strings.Contains(answer, "m=video 9 UDP/TLS/RTP/SAVPF 102") {
		t.Errorf("%v, answer\n%s\nwant H.264 and Opus", err, answer)
	}
}

// answerTo gives the answer to an offer, or why there is none.
func answerTo(t *testing.T, offer string, source, sub media.Source) (string, error) {
	t.Helper()
	answers := make(chan string, 8)
	c, err := peer.New(peer.Config{Engine: engine(t), Broadcast: broadcast(t, source, sub), Send: func(s peer.Signal) {
		if a, ok := s.(peer.Answer); ok {
			answers <- a.SDP
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	c.Handle(peer.Offer{SDP: offer})
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	var ended error
	wg.Go(func() { ended = c.Run(ctx) })
	defer func() { cancel(); wg.Wait() }()
	select {
	case a := <-answers:
		if !strings.Contains(a, "m=video 0") {
			return a, nil
		}
		wg.Wait() // after a refusal it ends by itself
		return a, ended
	case <-time.After(10 * time.Second):
		t.Fatal("no answer")
	}
	return "", nil
}
