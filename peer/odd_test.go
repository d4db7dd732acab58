package peer_test

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/kvsagent/kvsagent/peer"
)

// oddOffer is what a client there is writes differently from a browser: a change of a browser's offer, with what must
// come of it.
type oddOffer struct {
	name   string
	kinds  []string                   // of sections, in order; "" has a data channel alone
	change func(offer string) string  // what the client writes
	back   func(answer string) string // what our answer says in the words of the client in this test; nil: the same
	video  bool                       // comes
	audio  bool
	says   []string // in the answer
	not    []string
}

func replace(pairs ...string) func(string) string { return strings.NewReplacer(pairs...).Replace }

func without(pattern string) func(string) string {
	re := regexp.MustCompile(`(?m)^` + pattern + `\r\n`)
	return func(text string) string { return re.ReplaceAllString(text, "") }
}

// grouped gives an answer the bundle that the client in this test insists on.
func grouped(mids string) func(string) string {
	return replace("t=0 0\r\n", "t=0 0\r\na=group:BUNDLE "+mids+"\r\n")
}

var both = []string{"video", "audio"}

var oddOffers = []oddOffer{
	{name: "browser", kinds: both, change: replace(), video: true, audio: true},
	{name: "no bundle, one section (webrtcbin)", kinds: []string{"video"}, change: without(`a=group:.*`),
		back: grouped("0"), video: true, says: []string{"m=video 9 "}, not: []string{"BUNDLE"}},
	{name: "no bundle, two sections", kinds: both, change: without(`a=group:.*`), back: grouped("0"), video: true,
		says: []string{"m=video 9 ", "m=audio 0 "}, not: []string{"BUNDLE"}},
	{name: "no bundle, sound first", kinds: []string{"audio", "video"}, change: without(`a=group:.*`), video: true,
		back: grouped("1"), says: []string{"m=audio 0 ", "m=video 9 "}, not: []string{"BUNDLE"}},
	{name: "a bundle of some sections", kinds: both, change: replace("a=group:BUNDLE 0 1 2", "a=group:BUNDLE 0 2"),
		video: true, says: []string{"m=video 9 ", "m=audio 0 "}},
	{name: "a group of another kind alone", kinds: []string{"video"}, change: replace("a=group:BUNDLE", "a=group:LS"),
		back: grouped("0"), video: true, says: []string{"m=video 9 "}, not: []string{"BUNDLE"}},
	{name: "a group of another kind first", kinds: both,
		change: replace("a=group:BUNDLE", "a=group:LS 0 1\r\na=group:BUNDLE"), video: true, audio: true},
	{name: "h264 without fmtp (ESP32)", kinds: both, change: h264With(""), video: true, audio: true},
	{name: "h264 without a profile", kinds: both, change: h264With("packetization-mode=1"), video: true, audio: true},
	{name: "h264 in mode 0", kinds: both, change: h264With("packetization-mode=0;profile-level-id=42e01f"), video: true,
		audio: true},
	{name: "sound alone", kinds: []string{"audio"}, change: replace(), audio: true},
	{name: "data alone", kinds: nil, change: replace(), says: []string{"m=application 9 "}},
	{name: "no last newline", kinds: both, change: func(s string) string { return strings.TrimRight(s, "\r\n") },
		video: true, audio: true},
	{name: "byte order mark", kinds: both, change: replace("v=0\r\n", "\ufeffv=0\r\n"), video: true,
		audio: true},
	{name: "line ends first", kinds: both, change: replace("v=0\r\n", "\r\n\r\nv=0\r\n"), video: true,
		audio: true},
	{name: "connection behind time", kinds: both, change: replace("t=0 0\r\n", "t=0 0\r\nc=IN IP4 127.0.0.1\r\n"),
		video: true, audio: true},
	{name: "no time", kinds: both, change: without("t=0 0"), video: true, audio: true},
	{name: "unknown lines", kinds: both,
		change: replace("t=0 0\r\n", "t=0 0\r\nx-vendor: 1\r\nz\r\nq=7\r\n=\r\nfoo=bar\r\n"),
		video:  true, audio: true},
	{name: "blanks behind values", kinds: both, change: replace("\r\n", " \r\n"), video: true, audio: true},
	{name: "forty candidates of no use", kinds: both, change: replace("a=mid:0\r\n", "a=mid:0\r\n"+
		strings.Repeat("a=candidate:1 1 tcp 1518280447 192.0.2.7 9 typ host tcptype active\r\n"+
			"a=candidate:2 2 udp 2122260222 192.0.2.7 4000 typ host\r\n"+
			"a=candidate:3 1 udp 2122260223 0a0a0a0a-0000-4000-8000-000000000000.local 4000 typ host\r\n", 14)),
		video: true, audio: true},
	{name: "forty candidates", kinds: both, change: replace("a=end-of-candidates\r\n", "", "a=mid:0\r\n", "a=mid:0\r\n"+
		many("a=candidate:1 1 udp 2122260223 198.51.100.%d 4000 typ host\r\n", 40)), video: true, audio: true},
	{name: "a section turned down", kinds: []string{"audio", "video"}, change: replace("m=audio 9 ", "m=audio 0 ",
		"BUNDLE 0 ", "BUNDLE "), video: true, says: []string{"m=audio 0 ", "m=video 9 "}},
	{name: "an unknown hash first", kinds: both, change: replace("a=fingerprint:sha-256 ",
		"a=fingerprint:sha-1024 AB:CD\r\na=fingerprint:sha-256 "), video: true, audio: true},
	{name: "simulcast", kinds: both, change: replace("a=mid:0\r\n",
		"a=mid:0\r\na=rid:hi recv\r\na=rid:lo recv\r\na=simulcast:recv hi;lo\r\n"), video: true, audio: true,
		not: []string{"a=simulcast", "a=rid"}},
	{name: "credentials of the session", kinds: both, change: upfront, video: true, audio: true},
	{name: "active (ESP32)", kinds: both, change: replace("a=setup:actpass", "a=setup:active"), video: true,
		audio: true, says: []string{"a=setup:passive"}},
	{name: "passive (ESP32)", kinds: both, change: replace("a=setup:actpass", "a=setup:passive"), video: true,
		audio: true, says: []string{"a=setup:active"}, not: []string{"a=setup:passive"}},
}

func many(format string, n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(strings.Replace(format, "%d", string(rune('1'+i/10))+string(rune('0'+i%10)), 1))
	}
	return b.String()
}

var formats = regexp.MustCompile(`^a=(rtpmap|fmtp|rtcp-fb):`)

// h264With leaves one codec of video, with other parameters.
func h264With(fmtp string) func(string) string {
	return func(text string) string {
		sections := strings.Split(text, "\r\nm=")
		for i, s := range sections {
			if !strings.HasPrefix(s, "video") {
				continue
			}
			lines := strings.Split(s, "\r\n")
			out := []string{"video 9 UDP/TLS/RTP/SAVPF 102"}
			for _, l := range lines[1:] {
				if !formats.MatchString(l) {
					out = append(out, l)
				}
			}
			out = append(out, "a=rtpmap:102 H264/90000")
			if fmtp != "" {
				out = append(out, "a=fmtp:102 "+fmtp)
			}
			sections[i] = strings.Join(out, "\r\n")
			if i == len(sections)-1 {
				sections[i] += "\r\n"
			}
		}
		return strings.Join(sections, "\r\nm=")
	}
}

// upfront moves ICE credentials and the fingerprint to the session.
func upfront(text string) string {
	var moved []string
	for _, name := range []string{"ice-ufrag", "ice-pwd", "fingerprint", "setup"} {
		re := regexp.MustCompile(`(?m)^a=` + name + `:.*\r\n`)
		moved = append(moved, re.FindString(text))
		text = re.ReplaceAllString(text, "")
	}
	return strings.Replace(text, "t=0 0\r\n", "t=0 0\r\n"+strings.Join(moved, ""), 1)
}

// TestOddOffers connects a client that writes an odd offer, and waits for its pictures and its sound.
func TestOddOffers(t *testing.T) {
	b := pattern(t)
	for _, o := range oddOffers {
		t.Run(o.name, func(t *testing.T) {
			p := &pausing{page: newPageWith(t, o.kinds...), t: t}
			p.counts()
			p.offer = o.change(p.offer)
			c, done := p.call(t, peer.Config{Engine: engine(t), Broadcast: b})
			p.c = c
			answer := p.answer(t)
			for _, s := range o.says {
				if !strings.Contains(answer, s) {
					t.Errorf("the answer lacks %q:\n%s", s, answer)
				}
			}
			for _, s := range o.not {
				if strings.Contains(answer, s) {
					t.Errorf("the answer has %q:\n%s", s, answer)
				}
			}
			if o.back != nil {
				answer = o.back(answer)
			}
			if t.Failed() {
				return
			}
			p.take(t, answer)
			if o.video {
				p.flows(&p.video)
			}
			if o.audio {
				p.flows(&p.audio)
			}
			if !o.video && !o.audio {
				select {
				case <-p.open:
				case <-time.After(10 * time.Second):
					t.Error("the data channel does not open")
				}
			}
			select {
			case err := <-done:
				t.Errorf("the session has ended: %v", err)
			default:
			}
		})
	}
}
