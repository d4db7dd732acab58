package peer_test

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kvsagent/kvsagent/media"
	"github.com/kvsagent/kvsagent/peer"
	"github.com/kvsagent/kvsagent/peer/fanout"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

// pausing is a page that offers again in mid-session, and counts what comes.
type pausing struct {
	*page
	t        *testing.T
	c        *peer.Conn
	others   <-chan peer.Signal
	version  int
	video    atomic.Int64 // packets
	audio    atomic.Int64
	lastSSRC atomic.Uint32
	newest   atomic.Pointer[rtp.Packet] // of video
}

func startPausing(t *testing.T, b *fanout.Broadcast) *pausing {
	t.Helper()
	p := &pausing{page: newPageWith(t, "video", "audio"), t: t}
	p.counts()
	p.c, _ = p.call(t, peer.Config{Engine: engine(t), Broadcast: b, IdleTimeout: 300 * time.Millisecond})
	p.others = p.take(t, p.answer(t))
	p.flows(&p.video)
	p.flows(&p.audio)
	return p
}

// counts begins to count what comes.
func (p *pausing) counts() {
	p.pc.OnTrack(func(tr *webrtc.TrackRemote, _ *webrtc.RTPReceiver) {
		for {
			pkt, _, err := tr.ReadRTP()
			if err != nil {
				return
			}
			if tr.Kind() == webrtc.RTPCodecTypeAudio {
				p.audio.Add(1)
				continue
			}
			p.lastSSRC.Store(pkt.SSRC)
			p.newest.Store(pkt)
			p.video.Add(1)
		}
	})
}

// flows waits for packets, and gives how long that took.
func (p *pausing) flows(n *atomic.Int64) time.Duration {
	p.t.Helper()
	began, before := time.Now(), n.Load()
	for n.Load() < before+3 {
		if time.Since(began) > 20*time.Second {
			p.t.Fatal("no packets come")
		}
		time.Sleep(time.Millisecond)
	}
	return time.Since(began)
}

var originLine = regexp.MustCompile(`(?m)^o=(\S+) (\d+) \d+`)

// again offers once more, with the directions of the first sections changed, and gives the answer.
func (p *pausing) again(change func(sections []string)) string {
	p.t.Helper()
	p.version++
	text := originLine.ReplaceAllString(p.offer, "o=$1 $2 "+strconv.Itoa(100+p.version))
	sections := strings.Split(text, "\r\nm=")
	change(sections[1:])
	p.c.Handle(peer.Offer{SDP: strings.Join(sections, "\r\nm=")})
	for {
		select {
		case s := <-p.others:
			switch s := s.(type) {
			case peer.Answer:
				return s.SDP
			case peer.Offer:
				p.t.Fatalf("the master offers:\n%s", s.SDP)
			}
		case <-time.After(20 * time.Second):
			p.t.Fatal("no answer")
		}
	}
}

func direct(section int, to string) func([]string) {
	return func(s []string) { s[section] = strings.Replace(s[section], "a=recvonly", "a="+to, 1) }
}

// hasDirection checks what an answer says of a section.
func (p *pausing) hasDirection(answer string, section int, want string) {
	p.t.Helper()
	s := strings.Split(answer, "\r\nm=")[section+1]
	for _, d := range []string{"sendrecv", "sendonly", "recvonly", "inactive"} {
		if strings.Contains(s, "\r\na="+d) != (d == want) {
			p.t.Errorf("section %d says something else than %s:\n%s", section, want, s)
		}
	}
}

// quiet checks that nothing more comes in a section, and that the session lives.
func (p *pausing) quiet(n *atomic.Int64) {
	p.t.Helper()
	time.Sleep(100 * time.Millisecond) // what is under way
	before := n.Load()
	time.Sleep(time.Second) // more than three times the idle limit
	if got := n.Load() - before; got > 0 {
		p.t.Errorf("%d packets came while it was paused", got)
	}
	if s := p.c.Report().State; s != peer.Connected {
		p.t.Errorf("the session is %s", s)
	}
}

func (p *pausing) pausedInReport(codec media.Codec) bool {
	for _, t := range p.c.Report().Sending {
		if t.Codec == codec {
			return t.Paused
		}
	}
	p.t.Fatalf("no %s in %+v", codec, p.c.Report().Sending)
	return false
}

// TestPause: a viewer pauses and resumes the picture, the sound and both, by re-offers, as AWS's page does. Its track
// and SSRC stay, nothing is sent meanwhile, nothing is offered to it, and the picture is back from the cached key
// frame.
func TestPause(t *testing.T) {
	p := startPausing(t, pattern(t))
	ssrc := p.lastSSRC.Load()
	for round := range 2 {
		p.hasDirection(p.again(direct(0, "inactive")), 0, "inactive")
		p.quiet(&p.video)
		if !p.pausedInReport(media.H264) || p.pausedInReport(media.Opus) {
			t.Errorf("round %d: the report says %+v", round, p.c.Report().Sending)
		}
		p.flows(&p.audio)
		before := p.newest.Load()
		answer := p.again(direct(0, "recvonly"))
		p.hasDirection(answer, 0, "sendonly")
		took := p.flows(&p.video)
		t.Logf("round %d: packets %v after the answer", round, took)
		if p.lastSSRC.Load() != ssrc || !strings.Contains(answer, "a=ssrc:"+strconv.FormatUint(uint64(ssrc), 10)) {
			t.Errorf("round %d: ssrc %d became %d", round, ssrc, p.lastSSRC.Load())
		}
		// RTP times have gone on by what has passed, so that the picture is not taken for an old one.
		ahead := time.Duration(p.newest.Load().Timestamp-before.Timestamp) * time.Second / 90000
		if ahead < time.Second || ahead > 20*time.Second {
			t.Errorf("round %d: the RTP time went on by %v", round, ahead)
		}
	}
	p.hasDirection(p.again(direct(1, "inactive")), 1, "inactive")
	p.quiet(&p.audio)
	p.flows(&p.video)
	p.again(direct(1, "recvonly"))
	p.flows(&p.audio)

	both := func(s []string) { direct(0, "inactive")(s); direct(1, "inactive")(s) }
	p.again(both)
	p.quiet(&p.video)
	p.quiet(&p.audio)
	p.again(func([]string) {})
	p.flows(&p.video)
	p.flows(&p.audio)
	p.hasDirection(p.again(direct(0, "sendonly")), 0, "inactive") // it would send, and takes nothing
	p.quiet(&p.video)
	p.hasDirection(p.again(direct(0, "sendrecv")), 0, "sendonly")
	p.flows(&p.video)
}

// TestStoppedSection: a page stops its transceiver, which turns the section down, and later uses the place for another.
func TestStoppedSection(t *testing.T) {
	p := startPausing(t, pattern(t))
	ssrc := p.lastSSRC.Load()
	answer := p.again(func(s []string) {
		s[0] = strings.Replace(strings.Replace(s[0], "video 9 ", "video 0 ", 1), "a=recvonly", "a=inactive", 1)
	})
	p.hasDirection(answer, 0, "inactive")
	sections := strings.Split(answer, "\r\nm=")
	if !strings.HasPrefix(sections[1], "video 0 ") || !strings.HasPrefix(sections[2], "audio 9 ") {
		t.Errorf("the answer turns down the wrong sections:\n%s", answer)
	}
	if regexp.MustCompile(`a=group:BUNDLE.* 0\b`).MatchString(sections[0]) {
		t.Errorf("the stopped section is in the bundle:\n%s", sections[0])
	}
	p.quiet(&p.video)
	p.flows(&p.audio)
	group := regexp.MustCompile(`(a=group:BUNDLE.*) 0\b`)
	if !group.MatchString(p.offer) {
		t.Fatalf("the page's offer has no mid 0:\n%s", p.offer)
	}
	first := p.offer
	p.offer = group.ReplaceAllString(p.offer, "$1 7")
	p.offer = strings.Replace(p.offer, "a=mid:0\r\n", "a=mid:7\r\n", 1)
	answer = p.again(func([]string) {})
	p.hasDirection(answer, 0, "sendonly")
	if !strings.Contains(answer, "a=mid:7\r\n") || strings.Contains(answer, "a=mid:0\r\n") {
		t.Errorf("the answer names other sections:\n%s", answer)
	}
	p.flows(&p.video)
	if p.lastSSRC.Load() != ssrc {
		t.Errorf("ssrc %d became %d", ssrc, p.lastSSRC.Load())
	}
	p.offer = first
}

// TestCodecChangesWhilePaused: what the source turns to meanwhile is what the viewer gets when it resumes, without an
// offer of ours.
func TestCodecChangesWhilePaused(t *testing.T) {
	p := startPausing(t, broadcast(t, &changing{scenes: [][]media.Codec{{media.VP8, media.Opus}, {media.H264,
		media.Opus}}, each: 4 * time.Second}, nil))
	before := p.newest.Load().PayloadType
	p.hasDirection(p.again(direct(0, "inactive")), 0, "inactive")
	deadline := time.Now().Add(20 * time.Second)
	for ; ; time.Sleep(10 * time.Millisecond) {
		if r := p.c.Report(); len(r.Sending) > 0 && slices.ContainsFunc(r.Sending, func(t fanout.TrackReport) bool {
			return t.Codec == media.H264 && t.Paused
		}) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the change was not noticed: %+v", p.c.Report().Sending)
		}
	}
	p.quiet(&p.video)
	p.hasDirection(p.again(direct(0, "recvonly")), 0, "sendonly")
	p.flows(&p.video)
	if after := p.newest.Load().PayloadType; after == before {
		t.Errorf("payload type %d before and after the change of codec", after)
	}
}

// TestPausedAtFirst: a page that connects with its picture paused gets it when it asks for it.
func TestPausedAtFirst(t *testing.T) {
	p := &pausing{page: newPageWith(t, "video", "audio"), t: t}
	_ = p
	offer := p.offer
	p.offer = strings.Replace(p.offer, "a=recvonly", "a=inactive", 1)
	p.pc.OnTrack(func(tr *webrtc.TrackRemote, _ *webrtc.RTPReceiver) {
		n := &p.video
		if tr.Kind() == webrtc.RTPCodecTypeAudio {
			n = &p.audio
		}
		for {
			if _, _, err := tr.ReadRTP(); err != nil {
				return
			}
			n.Add(1)
		}
	})
	p.c, _ = p.call(t, peer.Config{Engine: engine(t), Broadcast: pattern(t)})
	answer := p.answer(t)
	p.hasDirection(answer, 0, "inactive")
	p.others = p.take(t, strings.Replace(answer, "a=inactive", "a=sendonly", 1))
	p.flows(&p.audio)
	p.quiet(&p.video)
	p.offer = offer
	p.hasDirection(p.again(func([]string) {}), 0, "sendonly")
	p.flows(&p.video)
}
