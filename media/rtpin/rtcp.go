package rtpin

import (
	"context"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/sdp/v3"

	"github.com/kvsagent/kvsagent/media"
	"github.com/kvsagent/kvsagent/media/internal/dgram"
	"github.com/kvsagent/kvsagent/media/internal/lipsync"
)

// control is where the RTCP of a track arrives. Port 0 means on its RTP socket.
type control struct {
	host string
	port int
}

// controlOf returns where a track's RTCP arrives: on the RTP port with a=rtcp-mux (RFC 5761 section 5.1.1), where
// a=rtcp says (RFC 3605 section 2.1), or else on the next port (RFC 3550 section 11).
func controlOf(md *sdp.MediaDescription, host string, port int) control {
	c := control{host, port + 1}
	if _, mux := md.Attribute("rtcp-mux"); mux {
		return control{}
	}
	if value, ok := md.Attribute("rtcp"); ok {
		fields := strings.Fields(value)
		if len(fields) == 0 {
			return control{}
		}
		c.port, _ = strconv.Atoi(fields[0]) // not a number means no port
		if len(fields) == 4 {
			address, _, _ := strings.Cut(fields[3], "/")
			if ip, err := netip.ParseAddr(address); err == nil && !ip.IsUnspecified() {
				c.host = ip.String()
			}
		}
	}
	if c.port < 1 || c.port > 65535 || c == (control{host, port}) {
		return control{}
	}
	return c
}

// listenReports opens the socket for a track's RTCP, for the sender of its RTP. Without one there is still video and
// audio.
func (s *Source) listenReports(ctx context.Context, in *input, all []*input, of *dgram.Conn) *dgram.Conn {
	if in.rtcp.port == 0 {
		return nil
	}
	for _, other := range all {
		if other.port == in.rtcp.port {
			return nil // a file that gives each track the next port has no place for RTCP
		}
	}
	conn, err := dgram.Listen(ctx, dgram.Options{Host: in.rtcp.host, Port: in.rtcp.port, Interface: s.o.Interface,
		Beside: of})
	if err != nil {
		s.o.Log.Debug("no rtcp; picture and sound are aligned by when they come", "file", s.o.Path, "err", err)
		return nil
	}
	return conn
}

// hear reads RTCP until the socket is closed.
func (in *input) hear(conn *dgram.Conn, ss *session) {
	buf := make([]byte, 2048)
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return
		}
		ss.report(in, buf[:n])
	}
}

// isRTCP tells RTCP from RTP on one port by its packet type (RFC 5761 section 4).
func isRTCP(packet []byte) bool { return len(packet) >= 8 && packet[1] >= 192 && packet[1] <= 223 }

// report handles a compound RTCP packet of a track.
func (ss *session) report(in *input, compound []byte) {
	packets, err := rtcp.Unmarshal(compound)
	if err != nil {
		return
	}
	ss.mu.Lock()
	defer ss.mu.Unlock()
	for _, p := range packets {
		if r, ok := p.(*rtcp.SenderReport); ok {
			in.clock.Report(r)
		}
	}
}

// avSync is the sink of a session. It aligns the audio with the video. It is used with session.mu held.
type avSync struct {
	out   media.Sink
	doubt func(error)
	made  time.Time // capture time of the current unit, by the sender's clock; zero if unknown
	sync  lipsync.Sync
}

// Tracks implements media.Sink.
func (a *avSync) Tracks(tracks []media.Track) { a.out.Tracks(tracks) }

// Write implements media.Sink.
func (a *avSync) Write(f *media.Frame) {
	var err error
	if f.Codec.Video() {
		err = a.sync.Picture(f.PTS, a.made)
	} else {
		f.PTS, err = a.sync.Sound(f.PTS, a.made)
	}
	if err != nil {
		a.doubt(err)
	}
	a.out.Write(f)
}

// doubt logs once why sender reports are not followed.
func (s *Source) doubt(err error) {
	s.doubted.Do(func() {
		s.o.Log.Warn("rtp sender reports are not followed; picture and sound are aligned by when they come",
			"file", s.o.Path, "err", err)
	})
}
