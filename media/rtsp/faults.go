package rtsp

import (
	"log/slog"
	"net"
	"strings"
	"sync"
	"time"
)

// faultPeriod is the shortest time between two log lines about damage in a stream.
const faultPeriod = 10 * time.Second

// faults counts faults of a stream and logs them now and then, so that a bad cable does not fill the log.
type faults struct {
	log *slog.Logger

	mu    sync.Mutex // guards the fields below
	n     int        // since the last line
	until time.Time  // when the next line may be logged
}

// count counts one fault.
func (f *faults) count(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.n++
	if now := time.Now(); !now.Before(f.until) {
		f.log.Warn("rtsp stream is damaged", "err", printable(err.Error()), "times", f.n)
		f.n, f.until = 0, now.Add(faultPeriod)
	}
}

// sniffer keeps the first bytes that a server sends, to tell what answers when it is not RTSP.
type sniffer struct {
	mu    sync.Mutex // guards the fields below
	first []byte
}

// sniffLength is how much is kept: "HTTP/1.1 400", "SSH-2.0-Open".
const sniffLength = 12

func (s *sniffer) wrap(conn net.Conn) net.Conn { return &sniffedConn{Conn: conn, to: s} }

// answer returns what was received first if it is not RTSP, and "" if it is or nothing came.
func (s *sniffer) answer() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	first := string(s.first)
	if first == "" || strings.HasPrefix(first, "RTSP/") || strings.HasPrefix("RTSP/", first) {
		return ""
	}
	return printable(first)
}

type sniffedConn struct {
	net.Conn
	to *sniffer
}

func (c *sniffedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.to.mu.Lock()
	defer c.to.mu.Unlock()
	if room := sniffLength - len(c.to.first); n > 0 && room > 0 {
		c.to.first = append(c.to.first, p[:min(n, room)]...)
	}
	return n, err
}
