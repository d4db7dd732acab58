package peer_test

import (
	"runtime"
	"testing"
	"time"

	"github.com/kvsagent/kvsagent/peer"
	"github.com/pion/dtls/v3"
	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"
)

// uninvited is a viewer that is sent pictures, and is asked for none.
type uninvited struct {
	*hostile
	t      *testing.T
	master *peer.Conn
	done   <-chan error
}

// pathKinds are the ways on which a packet reaches us: through the fast path of the shared socket, through all of Pion,
// and over a stream.
var pathKinds = []struct {
	name   string
	direct bool
	set    func(*webrtc.SettingEngine)
}{
	{"udp, direct", true, func(*webrtc.SettingEngine) {}},
	{"udp, through pion", false,
		func(s *webrtc.SettingEngine) { s.SetSRTPProtectionProfiles(dtls.SRTP_AES128_CM_HMAC_SHA1_80) }},
	{"tcp", false, func(s *webrtc.SettingEngine) { s.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeTCP4}) }},
}

func newUninvited(t *testing.T, direct bool, set func(*webrtc.SettingEngine)) *uninvited {
	t.Helper()
	e, err := peer.NewEngine(peer.EngineOptions{Loopback: true, TCPPort: freePort(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	var s webrtc.SettingEngine
	s.SetIncludeLoopbackCandidate(true)
	set(&s)
	u := &uninvited{t: t}
	u.hostile, u.master, u.done = connectHostile(t, e,
		broadcast(t, &ticker{every: 40 * time.Millisecond, gop: 25, size: 2000}, nil), s, true)
	u.goesOn()
	if got := u.master.Report().Direct; got != direct {
		t.Fatalf("media goes straight: %v, want %v", got, direct)
	}
	return u
}

// goesOn checks that the session lives: pictures go out, and what the viewer asks for is heard.
func (u *uninvited) goesOn() {
	u.t.Helper()
	before := u.sending()
	eventually(u.t, 20*time.Second, "pictures are sent and a key frame is asked for", func() bool {
		select {
		case err := <-u.done:
			u.t.Fatalf("the session ended: %v", err)
		default:
		}
		ssrc := uint32(u.pc.GetReceivers()[0].Track().SSRC())
		_ = u.pc.WriteRTCP([]rtcp.Packet{&rtcp.PictureLossIndication{MediaSSRC: ssrc}})
		time.Sleep(100 * time.Millisecond)
		now := u.sending()
		return now.Frames > before.Frames && now.KeysAsked > before.KeysAsked
	})
}

func (u *uninvited) sending() peer.TrackReport {
	if r := u.master.Report(); len(r.Sending) > 0 {
		return r.Sending[0]
	}
	return peer.TrackReport{}
}

// heap is what is in use.
func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// grown is how much more is in use after something was done.
func grown(do func()) int64 {
	before := heap()
	do()
	time.Sleep(100 * time.Millisecond) // for what is under way
	return heap() - before
}

// TestMediaThatNobodyAskedFor comes in 8 streams of 1 MB/s each, against our sendonly. It is counted and thrown away.
func TestMediaThatNobodyAskedFor(t *testing.T) {
	const (
		streams = 8
		size    = 1000
		rounds  = 2000 // one each millisecond
		most    = 1 << 20
	)
	for _, tt := range pathKinds {
		t.Run(tt.name, func(t *testing.T) {
			u := newUninvited(t, tt.direct, tt.set)
			flood := func(size int) func() {
				return func() {
					tick := time.NewTicker(time.Millisecond)
					defer tick.Stop()
					for i := range rounds {
						<-tick.C
						for s := range uint32(streams) {
							if size > 0 {
								u.writer.write(1000+s, uint16(i), size)
							}
						}
					}
				}
			}
			control := grown(flood(0))
			more := grown(flood(size))
			t.Logf("the heap has grown by %d bytes, without the flood by %d", more, control)
			if more-max(control, 0) > most {
				t.Errorf("the heap has grown by %d bytes, without the flood by %d", more, control)
			}
			eventually(t, 5*time.Second, "it is counted", func() bool {
				got := u.master.Report().Unasked
				return got > streams*rounds*size/4 // the rest the sockets may have lost
			})
			u.goesOn()
		})
	}
}

// TestStreamsWithoutEnd has an SSRC for each packet. What Pion keeps for each is bounded, and the session goes on until
// the viewer ends it.
func TestStreamsWithoutEnd(t *testing.T) {
	const ssrcs, most = 10_000, 6 << 20 // the viewer's own end, in the same process, keeps some for each, too
	for _, tt := range pathKinds {
		t.Run(tt.name, func(t *testing.T) {
			u := newUninvited(t, tt.direct, tt.set)
			more := grown(func() {
				for i := range uint32(ssrcs) {
					u.writer.write(1000+i, 1, 100)
					if i%20 == 19 {
						time.Sleep(time.Millisecond)
					}
				}
			})
			t.Logf("the heap has grown by %d bytes", more)
			if more > most {
				t.Errorf("the heap has grown by %d bytes", more)
			}
			if u.master.Report().Unasked == 0 {
				t.Error("nothing was counted")
			}
			u.goesOn()
			began := time.Now()
			_ = u.pc.Close()
			select {
			case <-u.done:
				t.Logf("the session ended after %v", time.Since(began))
			case <-time.After(45 * time.Second):
				t.Error("the session does not end")
			}
		})
	}
}
