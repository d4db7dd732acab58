//go:build !linux

package udpbatch

// platform needs nothing: there is one way.
type platform struct{}

func (s *Sender) setup() Way { return Single }

// Send writes all runs. What the kernel does not take is counted and lost; UDP promises no more.
func (s *Sender) Send(runs []Run) { s.sendSingle(runs) }
