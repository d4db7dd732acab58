package transport

import (
	"encoding/binary"
	"net"

	"github.com/kvsagent/kvsagent/peer/internal/contain"
)

// turnStream is a TCP or TLS connection to a TURN server. It follows the messages in what comes (RFC 8656 sections 3.1
// and 12.5) and says when one is a refusal.
type turnStream struct {
	net.Conn
	refused func()
	guard   *contain.Guard // Pion reads this in a goroutine of its own

	message []byte // the beginning of the one that is coming, if it is of interest
	skip    int    // bytes of the one that is coming, if it is not
}

// Read implements net.Conn.
func (c *turnStream) Read(b []byte) (int, error) {
	defer c.guard.Contain("turn")
	n, err := c.Conn.Read(b)
	c.follow(b[:n])
	return n, err
}

const turnHeader = 20 // of a STUN message

func (c *turnStream) follow(b []byte) {
	for len(b) > 0 {
		if c.skip > 0 {
			n := min(c.skip, len(b))
			c.skip, b = c.skip-n, b[n:]
			continue
		}
		if len(c.message) < 4 {
			n := min(4-len(c.message), len(b))
			c.message, b = append(c.message, b[:n]...), b[n:]
			if len(c.message) < 4 {
				return
			}
		}
		size := int(binary.BigEndian.Uint16(c.message[2:4]))
		switch kind := binary.BigEndian.Uint16(c.message); {
		case kind >= 0x4000: // channel data, padded to 4 bytes
			c.skip, c.message = (size+3)&^3, c.message[:0]
			continue
		case kind&0x0110 != 0x0110 || size+turnHeader > maxTURNMessage: // no error response
			c.skip, c.message = size+turnHeader-4, c.message[:0]
			continue
		}
		n := min(turnHeader+size-len(c.message), len(b))
		c.message, b = append(c.message, b[:n]...), b[n:]
		if len(c.message) == turnHeader+size {
			if refusal(c.message) {
				c.refused()
			}
			c.message = c.message[:0]
		}
	}
}
