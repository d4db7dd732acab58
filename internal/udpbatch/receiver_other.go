//go:build !linux

package udpbatch

// receiving has no state: there is only one way.
type receiving struct{}

func (r *Receiver) setup() {}

func (r *Receiver) read() (n int, err error) { return r.readOne() }
