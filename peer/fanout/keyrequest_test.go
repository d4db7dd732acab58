package fanout

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kvsagent/kvsagent/media"
	"github.com/kvsagent/kvsagent/peer/internal/wire"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
)

// keyFrame is the smallest picture of a codec that begins a stream, with its parameter sets.
func keyFrame(codec media.Codec, pts time.Duration) *media.Frame {
	f := &media.Frame{Codec: codec, Key: true, PTS: pts, Captured: time.Now()}
	switch codec {
	case media.H264:
		f.Data = [][]byte{{0x67, 0x42, 0xe0, 0x1f}, {0x68, 0xce}, {0x65, 1, 2, 3, 4}}
	case media.H265:
		f.Data = [][]byte{{0x40, 1, 1}, {0x42, 1, 1}, {0x44, 1, 1}, {0x26, 1, 1, 2, 3}}
	default:
		f.Data = [][]byte{{0x10, 2, 0, 0x9d, 1, 0x2a, 0x40, 1, 0xf0, 0, 1, 2, 3}}
	}
	return f
}

// deltaFrame is a picture that needs those before it.
func deltaFrame(codec media.Codec, pts time.Duration) *media.Frame {
	f := keyFrame(codec, pts)
	f.Key = false
	switch codec {
	case media.H264:
		f.Data = [][]byte{{0x41, 1, 2, 3, 4}}
	case media.H265:
		f.Data = [][]byte{{0x02, 1, 1, 2, 3}}
	default:
		f.Data = [][]byte{{0x11, 2, 0, 1, 2, 3}}
	}
	return f
}

// sinkhole is a viewer's side that takes all packets and keeps their first bytes.
type sinkhole struct{ first []byte }

func (h *sinkhole) WriteRTP(_ *rtp.Header, payload []byte) (int, error) {
	h.first = append(h.first, payload[0])
	return len(payload), nil
}

func (h *sinkhole) Write(b []byte) (int, error) { return len(b), nil }

// hubs is a broadcast whose frames the test writes itself.
func hubs(withSub bool) *Broadcast {
	var sub *media.Hub
	if withSub {
		sub = media.NewHub(media.HubOptions{})
	}
	return NewBroadcast(media.NewHub(media.HubOptions{}), sub)
}

// drain has a sender send what waits for it, and gives what left.
func drain(t *testing.T, s *Sender) []byte {
	t.Helper()
	out := &sinkhole{}
	for _, track := range s.tracks {
		track.mu.Lock()
		track.w = out
		track.mu.Unlock()
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := s.Run(ctx, func(*Sender) {}); err != nil {
		t.Error(err)
	}
	return out.first
}

// TestKeyRequestAfterCodecChange: a viewer negotiated H.264 alone. The camera has turned to VP8, our offer of that
// waits for its answer, and the viewer asks for a key frame meanwhile. Of what is cached nothing is for it.
func TestKeyRequestAfterCodecChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := hubs(false)
		s := NewSender(b, []*Track{NewTrack(media.H264)}, nil)
		defer b.Attach(s)()
		st := b.streams[Main]
		st.Write(keyFrame(media.H264, 0))
		if got := drain(t, s); len(got) == 0 {
			t.Error("the H.264 key frame was not sent")
		}
		time.Sleep(2 * repeatAfter)
		st.Write(keyFrame(media.VP8, time.Second))
		s.onRTCP(&rtcp.PictureLossIndication{}, nil)
		if got := drain(t, s); len(got) != 0 {
			t.Errorf("packets that begin with %x were sent to a viewer that has no VP8", got)
		}
		// And back: a picture that needs one that this viewer did not get.
		st.Write(deltaFrame(media.H264, 2*time.Second))
		if got := drain(t, s); len(got) != 0 {
			t.Errorf("packets that begin with %x follow pictures that were left out", got)
		}
		st.Write(keyFrame(media.H264, 3*time.Second))
		if got := drain(t, s); len(got) == 0 {
			t.Error("the next H.264 key frame was not sent")
		}
	})
}

// TestKeyRequestBehindRelay: the usual camera gives H.265, and a smaller stream in H.264. A viewer behind a TURN server
// negotiated H.265, and asks for a key frame when the smaller stream has just begun.
func TestKeyRequestBehindRelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := hubs(true)
		b.streams[Main].Tracks([]media.Track{{Codec: media.H265}})
		s := NewSender(b, []*Track{NewTrack(media.H265)}, nil)
		s.Start(Relayed, "192.0.2.1", Main)
		defer b.Attach(s)()
		defer s.keepSub(false)
		s.adapt(t.Context(), time.Now())
		b.streams[Sub].Tracks([]media.Track{{Codec: media.H264}})
		b.streams[Sub].Write(keyFrame(media.H264, 0))
		s.onRTCP(&rtcp.PictureLossIndication{}, nil)
		if got := drain(t, s); len(got) != 0 {
			t.Errorf("packets that begin with %x were sent to a viewer that has no H.264", got)
		}
	})
}

// TestNothingWithoutATrackIsSent tries every way into a sender's queue, and the shard, with frames of a codec that the
// viewer has no track for, also in the middle of a window.
func TestNothingWithoutATrackIsSent(t *testing.T) {
	z := &packetiser{}
	number := uint64(0)
	pack := func(f *media.Frame) *packets {
		p, err := z.packetise(f)
		if err != nil {
			t.Fatal(err)
		}
		number++
		p.number = number
		return p
	}
	foreign := func() *packets { return pack(keyFrame(media.VP8, time.Second)) }
	for _, tt := range []struct {
		name string
		do   func(*Sender)
	}{
		{"begin", func(s *Sender) { s.begin([]*packets{foreign()}) }},
		{"begin in the middle", func(s *Sender) {
			s.begin([]*packets{pack(keyFrame(media.H264, 0)), foreign(), pack(deltaFrame(media.VP8, time.Second))})
		}},
		{"begin with a picture of ours behind it",
			func(s *Sender) { s.begin([]*packets{foreign(), pack(deltaFrame(media.H264, time.Second))}) }},
		{"begin without a key frame",
			func(s *Sender) { s.begin([]*packets{pack(deltaFrame(media.H264, time.Second))}) }},
		{"begin with nothing", func(s *Sender) { s.begin(nil) }},
		{"restart", func(s *Sender) { s.restart(Main, []*packets{foreign()}) }},
		{"restart in the middle",
			func(s *Sender) { s.restart(Main, []*packets{pack(keyFrame(media.H264, 0)), foreign()}) }},
		{"restart on the other level", func(s *Sender) { s.restart(Sub, []*packets{foreign()}) }},
		{"restart with nothing", func(s *Sender) { s.restart(Main, nil) }},
		{"push", func(s *Sender) { s.push(foreign()) }},
		{"leaving a shard", func(s *Sender) { s.leaveShard(nil, []*packets{foreign()}) }},
		{"a shard", func(s *Sender) {
			s.SetDirect(&wire.Direct{})
			s.joinShard(0)
			s.sendShared(foreign(), 0, 1, time.Now(), wire.NewArena(wire.ArenaBytes))
		}},
		{"a frame that is sent all the same", func(s *Sender) {
			if err := s.send(whole(foreign()), nil); err != nil {
				t.Error(err)
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := hubs(true)
				s := NewSender(b, []*Track{NewTrack(media.H264)}, nil)
				defer b.Attach(s)()
				tt.do(s)
				s.SetDirect(nil)
				for i, first := range drain(t, s) {
					if kind := first & 0x1f; kind != 7 && kind != 8 && kind != 24 && kind != 5 || i == 0 && kind == 5 {
						t.Errorf("packet %d begins with %x", i, first)
					}
				}
			})
		})
	}
}

// drainNow sends what waits, and takes no time.
func drainNow(t *testing.T, s *Sender) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if err := s.Run(ctx, func(*Sender) { cancel() }); err != nil {
		t.Error(err)
	}
}

// TestAWindowIsOfOneCodec: what is cached of a stream ends where the source turns to another codec, until that has a
// key frame.
func TestAWindowIsOfOneCodec(t *testing.T) {
	st := hubs(false).streams[Main]
	for i, step := range []struct {
		frame *media.Frame
		want  int
	}{
		{keyFrame(media.H264, 0), 1}, {deltaFrame(media.H264, 1), 2}, {deltaFrame(media.VP8, 2), 0},
		{deltaFrame(media.H264, 3), 0},
		{keyFrame(media.VP8, 4), 1}, {deltaFrame(media.VP8, 5), 2}, {keyFrame(media.H264, 6), 1},
	} {
		if st.Write(step.frame); len(st.window) != step.want {
			t.Errorf("after frame %d the window has %d pictures, want %d", i, len(st.window), step.want)
		}
	}
}
