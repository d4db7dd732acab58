package peer_test

import (
	"context"
	"encoding/binary"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kvsagent/kvsagent/media"
	"github.com/kvsagent/kvsagent/peer"
)

// changing is a source of ten small frames a second for each of its tracks. What it gives changes from one scene to the
// next; the last one goes on.
type changing struct {
	scenes [][]media.Codec
	each   time.Duration
}

func (s *changing) Run(ctx context.Context, out media.Sink) error {
	began := time.Now()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	last := -1
	for n := uint32(0); ; n++ {
		i := min(int(time.Since(began)/s.each), len(s.scenes)-1)
		if i != last {
			var tracks []media.Track
			for _, codec := range s.scenes[i] {
				t := media.Track{Codec: codec}
				if codec == media.H264 {
					t.SPS, t.PPS = sps, pps
				}
				tracks = append(tracks, t)
			}
			out.Tracks(tracks)
		}
		for _, codec := range s.scenes[i] {
			f := &media.Frame{Codec: codec, PTS: time.Since(began), Captured: time.Now(), Key: i != last &&
				codec.Video()}
			f.Data = coded(codec, n, f.Key)
			out.Write(f)
		}
		last = i
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

var pps = []byte{0x68, 0xce, 0x3c, 0x80}

// coded is a frame with a number in it.
func coded(codec media.Codec, n uint32, key bool) [][]byte {
	number := binary.BigEndian.AppendUint32(nil, n)
	switch codec {
	case media.H264:
		if key {
			return [][]byte{sps, pps, append([]byte{0x65, 0x9a}, number...)}
		}
		return [][]byte{append([]byte{0x41, 0x9a}, number...)}
	case media.VP8:
		if key { // RFC 6386 section 9.1: 320 x 240
			return [][]byte{append([]byte{0x10, 2, 0, 0x9d, 1, 0x2a, 0x40, 1, 0xf0, 0}, number...)}
		}
		return [][]byte{append([]byte{0x11, 2, 0}, number...)}
	}
	return [][]byte{append([]byte{0xfc}, number...)}
}

// inLine says whether pictures came as one stream: times that go on, and no number left out. By a real clock they come
// when the processor is free.
func inLine(t *testing.T, got *collector, least, most time.Duration) {
	t.Helper()
	got.mu.Lock()
	defer got.mu.Unlock()
	var last *media.Frame
	for _, f := range got.frames {
		if !f.Codec.Video() {
			continue
		}
		// Of what is cached, when the viewer asks.
		if repeated := last != nil && f.Key && number(f) <= number(last); last != nil && !repeated {
			if step := f.PTS - last.PTS; step < least || step > most {
				t.Errorf("picture %d (%s) comes %v after %d (%s), want %v to %v", number(f), f.Codec, step,
					number(last), last.Codec, least, most)
			}
			if number(f) != number(last)+1 {
				t.Errorf("picture %d (%s) comes after %d (%s)", number(f), f.Codec, number(last), last.Codec)
			}
		}
		last = f
	}
}

// counting carries signals and counts the offers among them.
func counting(n *atomic.Int32) func(peer.Signal, func(peer.Signal)) {
	return func(s peer.Signal, deliver func(peer.Signal)) {
		if _, ok := s.(peer.Offer); ok {
			n.Add(1)
		}
		deliver(s)
	}
}

// TestSourceChangesCodec: both sides know both codecs, so a change needs no word between them.
func TestSourceChangesCodec(t *testing.T) {
	for name, masterOffers := range map[string]bool{"viewer offers": false, "master offers": true} {
		t.Run(name, func(t *testing.T) {
			var offers atomic.Int32
			o := callOptions{
				masterOffers: masterOffers, toMaster: counting(&offers), toViewer: counting(&offers),
				source: &changing{[][]media.Codec{{media.H264, media.Opus}, {media.VP8, media.PCMU},
					{media.H264, media.Opus}}, 5 * time.Second},
			}
			inBubble(t, o, nil, func(t *testing.T, c *call, _, _ *site) {
				c.plays(20)
				c.got.wait(t, media.VP8, 20)
				c.plays(20)
				c.got.wait(t, media.PCMU, 20)
				inLine(t, c.got, 80*time.Millisecond, 120*time.Millisecond)
				r := c.viewer.Report()
				if n := offers.Load(); n != 1 || r.Receiving[0].Lost != 0 {
					t.Errorf("%d offers, want 1; receiving %+v", n, r.Receiving)
				}
				if m := c.master.Report(); m.Sent <= m.Sending[0].Bytes+m.Sending[1].Bytes {
					t.Errorf("%d bytes sent in all, and %d and %d by the tracks there are now", m.Sent,
						m.Sending[0].Bytes, m.Sending[1].Bytes)
				}
				if s := c.master.Report().Sending; len(s) != 2 || s[0].Codec == s[1].Codec {
					t.Errorf("the master sends %+v, want one picture and one sound", s)
				}
			})
		})
	}
}

// TestSourceChangesCodecOnTheDirectWay: the cipher goes on where the other codec has left it.
func TestSourceChangesCodecOnTheDirectWay(t *testing.T) {
	got := newCollector()
	b := broadcast(t, &changing{[][]media.Codec{{media.H264}, {media.VP8}, {media.H264}}, time.Second}, nil)
	m, _, _ := pair(t, peer.Config{Engine: engine(t), Broadcast: b, Offer: true},
		peer.Config{Engine: engine(t), Receive: true, Sink: got}, same, same)
	got.wait(t, media.H264, 5)
	got.wait(t, media.VP8, 3)
	got.wait(t, media.H264, 12)
	if !m.Report().Direct {
		t.Error("what is sent does not go straight into the socket")
	}
	inLine(t, got, 0, 10*time.Second)
}

// TestSoundComesLater: the master offers it, in the same session.
func TestSoundComesLater(t *testing.T) {
	for name, masterOffers := range map[string]bool{"viewer offers": false, "master offers": true} {
		t.Run(name, func(t *testing.T) {
			var byMaster atomic.Int32
			o := callOptions{
				masterOffers: masterOffers, toViewer: counting(&byMaster),
				source: &changing{[][]media.Codec{{media.H264}, {media.H264, media.Opus}}, 5 * time.Second},
			}
			inBubble(t, o, nil, func(t *testing.T, c *call, _, _ *site) {
				c.plays(10)
				byMaster.Store(0)
				c.got.wait(t, media.Opus, 20)
				c.plays(10)
				if n := byMaster.Load(); n != 1 {
					t.Errorf("the master made %d offers, want 1", n)
				}
				inLine(t, c.got, 80*time.Millisecond, 120*time.Millisecond)
			})
		})
	}
}

// TestSoundIsOfferedInVain: a viewer that takes no offers, and one that wants no sound, keep their picture.
func TestSoundIsOfferedInVain(t *testing.T) {
	later := &changing{[][]media.Codec{{media.H264}, {media.H264, media.Opus}}, 3 * time.Second}
	for name, toMaster := range map[string]func(peer.Signal, func(peer.Signal)){
		"no answer": func(s peer.Signal, deliver func(peer.Signal)) {
			if _, ok := s.(peer.Answer); !ok {
				deliver(s)
			}
		},
		"refused": func(s peer.Signal, deliver func(peer.Signal)) {
			if a, ok := s.(peer.Answer); ok {
				s = peer.Answer{SDP: regexp.MustCompile(`m=audio \d+ (\S+) .*\r`).ReplaceAllString(a.SDP,
					"m=audio 0 $1 0\r")}
			}
			deliver(s)
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, callOptions{source: later, toMaster: toMaster}, nil, func(t *testing.T, c *call, _, _ *site) {
				c.plays(100)
				inLine(t, c.got, 80*time.Millisecond, 120*time.Millisecond)
				if n := c.got.count(media.Opus); n != 0 {
					t.Errorf("%d frames of sound came", n)
				}
			})
		})
	}
	t.Run("refused at the beginning", func(t *testing.T) {
		both := &changing{[][]media.Codec{{media.H264, media.Opus}}, time.Second}
		refuse := func(s peer.Signal, deliver func(peer.Signal)) {
			if a, ok := s.(peer.Answer); ok {
				s = peer.Answer{SDP: regexp.MustCompile(`m=audio \d+ (\S+) .*\r`).ReplaceAllString(a.SDP,
					"m=audio 0 $1 0\r")}
			}
			deliver(s)
		}
		inBubble(t, callOptions{source: both, masterOffers: true, toMaster: refuse}, nil,
			func(t *testing.T, c *call, _, _ *site) {
				c.plays(50)
				if s := c.master.Report().Sending; len(s) == 0 || s[0].Codec != media.H264 {
					t.Errorf("the master sends %+v, want H264", s)
				}
			})
	})
}

// onlyH264 takes all other codecs out of a viewer's offer.
func onlyH264(s peer.Signal, deliver func(peer.Signal)) {
	if o, ok := s.(peer.Offer); ok {
		line := regexp.MustCompile(`m=video (\d+) (\S+) (.*)\r`).FindStringSubmatch(o.SDP)
		var kept []string
		for pt := range strings.FieldsSeq(line[3]) {
			if strings.Contains(o.SDP, "a=rtpmap:"+pt+" H264/") {
				kept = append(kept, pt)
			}
		}
		s = peer.Offer{SDP: strings.Replace(o.SDP, line[0],
			"m=video "+line[1]+" "+line[2]+" "+strings.Join(kept, " ")+"\r", 1)}
	}
	deliver(s)
}

// TestCodecThatWasNotNegotiated: the viewer is offered it, and takes it; one that takes no offers has to come again.
func TestCodecThatWasNotNegotiated(t *testing.T) {
	source := func() media.Source { return &changing{[][]media.Codec{{media.H264}, {media.VP8}}, 3 * time.Second} }
	t.Run("offered", func(t *testing.T) {
		var byMaster atomic.Int32
		o := callOptions{source: source(), toMaster: onlyH264, toViewer: counting(&byMaster)}
		inBubble(t, o, nil, func(t *testing.T, c *call, _, _ *site) {
			c.plays(10)
			c.got.wait(t, media.VP8, 20)
			if n := byMaster.Load(); n != 1 {
				t.Errorf("the master made %d offers, want 1", n)
			}
		})
	})
	for _, tt := range []struct {
		name, want string
		answer     func(string) (string, bool)
	}{
		{"no answer",
			"the source changed to VP8, which was not negotiated, and the remote did not answer our offer of it in 5s",
			func(string) (string, bool) { return "", false }},
		{"refused", "the source changed to VP8, which the remote does not take", func(sdp string) (string, bool) {
			pt := regexp.MustCompile(`a=rtpmap:(\d+) VP8`).FindStringSubmatch(sdp)[1]
			return strings.ReplaceAll(strings.Replace(sdp, " "+pt+" ", " ", 1), "a=rtpmap:"+pt+" VP8",
				"a=x-rtpmap:"+pt+" VP8"), true
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			toMaster := func(s peer.Signal, deliver func(peer.Signal)) {
				a, ok := s.(peer.Answer)
				if !ok {
					onlyH264(s, deliver)
					return
				}
				if sdp, ok := tt.answer(a.SDP); ok {
					deliver(peer.Answer{SDP: sdp})
				}
			}
			inBubble(t, callOptions{source: source(), toMaster: toMaster}, nil,
				func(t *testing.T, c *call, _, _ *site) {
					c.plays(10)
					if err := c.end(c.masterDone, 15*time.Second); err == nil ||
						!strings.Contains(err.Error(), tt.want) {
						t.Errorf("the master's side ended with %v, want %q", err, tt.want)
					}
					if err := c.end(c.viewerDone, 5*time.Second); err == nil {
						t.Error("the viewer's side ended without an error")
					}
				})
		})
	}
}

// TestChangeAndRestartCross: the viewer restarts ICE at the moment in which the master offers sound. The viewer's offer
// stands, and the sound comes all the same.
func TestChangeAndRestartCross(t *testing.T) {
	var viewer *peer.Conn
	var offers, byMaster atomic.Int32
	there, back := inOrder(50*time.Millisecond), inOrder(50*time.Millisecond)
	o := callOptions{
		source: &changing{[][]media.Codec{{media.H264}, {media.H264, media.Opus}}, 3 * time.Second},
		toViewer: func(s peer.Signal, deliver func(peer.Signal)) {
			if _, ok := s.(peer.Offer); ok && byMaster.Add(1) == 1 {
				viewer.Restart()
			}
			there(s, deliver)
		},
		toMaster: func(s peer.Signal, deliver func(peer.Signal)) {
			counting(&offers)(s, func(s peer.Signal) { back(s, deliver) })
		},
	}
	inBubble(t, o, nil, func(t *testing.T, c *call, _, _ *site) {
		viewer = c.viewer
		c.plays(10)
		c.got.wait(t, media.Opus, 20)
		c.plays(20)
		if n := offers.Load(); n != 2 || byMaster.Load() == 0 {
			t.Errorf("the viewer made %d offers and the master %d, want 2 and some", n, byMaster.Load())
		}
	})
}
