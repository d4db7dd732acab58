package transport

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// script is a socket that gives what it is told to, and the last of it for ever.
type script []error

func (s *script) Waiting() bool { return true }

func (s *script) Next() ([]byte, netip.AddrPort, error) {
	err := (*s)[0]
	if len(*s) > 1 {
		*s = (*s)[1:]
	}
	if err != nil {
		return nil, netip.AddrPort{}, &net.OpError{Op: "read", Net: "udp", Err: err}
	}
	return []byte{0}, netip.AddrPort{}, nil
}

func scripted(t *testing.T, reads ...error) *UDPDemux {
	d := NewUDPDemux(socket(t))
	s := script(reads)
	d.in = &s
	return d
}

// TestErrorsOfTheSocket: Pion closes the socket of all viewers after any error that it sees, so it sees only those that
// are final. What is final is told.
func TestErrorsOfTheSocket(t *testing.T) {
	for _, x := range []struct {
		name   string
		reads  []error
		gives  error // to Pion
		passed uint64
		failed bool
	}{
		{"some pass", []error{syscall.ECONNREFUSED, syscall.ENOBUFS, syscall.ENETDOWN, syscall.EMSGSIZE,
			syscall.EHOSTUNREACH, nil}, nil, 5, false},
		{"a time-out is what Pion asked for", []error{os.ErrDeadlineExceeded}, os.ErrDeadlineExceeded, 0, false},
		{"the descriptor is gone", []error{syscall.EBADF}, syscall.EBADF, 0, true},
		{"it is not a socket any more", []error{syscall.ECONNREFUSED, syscall.ENOTSOCK}, syscall.ENOTSOCK, 1, true},
		{"somebody closed it", []error{net.ErrClosed}, net.ErrClosed, 0, true},
	} {
		t.Run(x.name, func(t *testing.T) {
			d := scripted(t, x.reads...)
			_, _, err := d.ReadFromAddrPort(make([]byte, 10))
			if !errors.Is(err, x.gives) {
				t.Errorf("Pion gets %v, want %v", err, x.gives)
			}
			if n := d.Faults.passed.Load(); n != x.passed {
				t.Errorf("%d errors passed, want %d", n, x.passed)
			}
			if failed := d.Faults.Reason() != nil; failed != x.failed {
				t.Errorf("failed: %v, want %v", d.Faults.Reason(), x.failed)
			}
		})
	}
}

// TestNothingButErrors: a socket that gives nothing else for ten seconds is of no more use, and costs no processor
// until then.
func TestNothingButErrors(t *testing.T) {
	d := scripted(t, syscall.ENETDOWN)
	synctest.Test(t, func(t *testing.T) {
		f := &socketFaults{closed: make(chan struct{}), Failed: make(chan struct{})}
		began := time.Now()
		for f.passing(syscall.ENETDOWN) {
		}
		if took := time.Since(began); took < errorsFor || took > errorsFor+2*retryMost {
			t.Errorf("given up after %v, want %v", took, errorsFor)
		}
		if n := f.passed.Load(); n > uint64(2*errorsFor/retryMost) {
			t.Errorf("%d reads in %v", n, errorsFor)
		}
		if !errors.Is(f.Reason(), syscall.ENETDOWN) {
			t.Errorf("the reason is %v", f.Reason())
		}
		f = &socketFaults{closed: make(chan struct{}), Failed: make(chan struct{})}
		for range 10 {
			f.passing(syscall.ENETDOWN)
			time.Sleep(errorsFor / 2)
			f.good()
		}
		if err := f.Reason(); err != nil {
			t.Errorf("packets came between the errors, and yet: %v", err)
		}
	})
	go func() { _ = d.Close() }() // ends the wait for another try
	if _, _, err := d.ReadFromAddrPort(make([]byte, 10)); err == nil {
		t.Error("a closed socket gives packets")
	}
}

// flaky is a listener whose first calls fail.
type flaky struct {
	net.Listener
	errs []error
}

func (f *flaky) Accept() (net.Conn, error) {
	if len(f.errs) > 0 {
		err := f.errs[0]
		f.errs = f.errs[1:]
		return nil, err
	}
	a, _ := net.Pipe()
	return a, nil
}

func (f *flaky) Close() error { return nil }

// TestErrorsOfAccept: Pion stops listening after any error that it sees.
func TestErrorsOfAccept(t *testing.T) {
	l := NewConnLimitListener(&flaky{errs: []error{syscall.EMFILE, syscall.ECONNABORTED, syscall.ENFILE}})
	c, err := l.Accept()
	if err != nil {
		t.Fatalf("%v, want the connection behind the errors", err)
	}
	_ = c.Close()
	l = NewConnLimitListener(&flaky{errs: []error{net.ErrClosed}})
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a closed listener gives %v", err)
	}
	l = NewConnLimitListener(&flaky{errs: []error{syscall.EMFILE}})
	_ = l.Close()
	if _, err := l.Accept(); !errors.Is(err, syscall.EMFILE) {
		t.Errorf("a listener that was closed while it waited gives %v", err)
	}
}
