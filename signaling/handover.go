package signaling

import "errors"

// errRetired ends the Run of a Client that has retired and lost its connection.
var errRetired = errors.New("another client has taken over")

// Retire has the client make no further connection. It reads and writes the one that it has, since the service may have
// messages under way, until Run is told to stop. Retire never blocks.
func (c *Client) Retire() { c.retired.Store(true) }

// HandOver retires c in favour of next, which leads to the same channel in the same role: what waits to be sent is now
// next's to send, in the same order. After it c must be sent nothing more.
func (c *Client) HandOver(next *Client) {
	c.Retire()
	for _, m := range c.queue.takeAll(c.opts.Now()) {
		_ = next.queue.put(m) // which has room: c's was no larger
	}
}
