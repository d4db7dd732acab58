//go:build !linux

package udpbatch

// receiving needs nothing: there is one way.
type receiving struct{}

func (r *Receiver) setup() {}

func (r *Receiver) read() (n int, err error) { return r.readOne() }
