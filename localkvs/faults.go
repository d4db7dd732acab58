package localkvs

import (
	"cmp"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// Faults are the ways in which the service misbehaves from now on. The zero value is a healthy service. In JSON,
// durations are text such as "90s".
type Faults struct {
	Calls   Refusal `json:"calls,omitzero"`   // control plane and GetIceServerConfig
	Connect Refusal `json:"connect,omitzero"` // WebSocket upgrades

	ClockOffset  time.Duration `json:"clock_offset,omitempty"`  // the error of the service's clock
	ExpireTokens bool          `json:"expire_tokens,omitempty"` // every signature's token has expired
	EndpointHost string        `json:"endpoint_host,omitempty"` // host[:port] that endpoints seem to have moved to

	Delay     time.Duration `json:"delay,omitempty"` // of every relayed message
	Duplicate bool          `json:"duplicate,omitempty"`
	Reorder   bool          `json:"reorder,omitempty"` // a message overtakes all that are waiting

	TURNDown  bool `json:"turn_down,omitempty"`  // STUN and TURN do not answer
	SlowBytes int  `json:"slow_bytes,omitempty"` // bytes per second of each connection; 0 is unlimited
}

// Refusal answers requests with an error. Its zero value answers none.
type Refusal struct {
	Status int      `json:"status,omitempty"` // HTTP status
	Type   string   `json:"type,omitempty"`   // x-amzn-ErrorType
	Body   string   `json:"body,omitempty"`   // default is a JSON message
	Times  int      `json:"times,omitempty"`  // number of requests; 0 is every one, until the faults are set again
	Calls  []string `json:"calls,omitempty"`  // names of calls, such as GetIceServerConfig; default all
}

// SetFaults replaces the faults.
func (s *Server) SetFaults(f Faults) {
	s.faults.set(f)
	s.opts.Log.Info("faults set", "faults", f)
}

// Faults returns the current faults.
func (s *Server) Faults() Faults { return s.faults.get() }

// faultBox holds the current faults. They are read with every packet and rarely changed.
type faultBox struct {
	mu sync.Mutex // held while f is changed
	f  atomic.Pointer[Faults]
}

func (b *faultBox) set(f Faults) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.f.Store(&f)
}

func (b *faultBox) get() Faults {
	if f := b.f.Load(); f != nil {
		return *f
	}
	return Faults{}
}

func (b *faultBox) refuseCall(w http.ResponseWriter, name string) bool {
	return b.refuse(w, func(f *Faults) *Refusal { return &f.Calls }, name)
}

func (b *faultBox) refuseConnect(w http.ResponseWriter) bool {
	return b.refuse(w, func(f *Faults) *Refusal { return &f.Connect }, "")
}

func (b *faultBox) refuse(w http.ResponseWriter, which func(*Faults) *Refusal, name string) bool {
	r, ok := b.use(which, name)
	if !ok {
		return false
	}
	code := cmp.Or(r.Type, "InternalFailure")
	if r.Body == "" {
		writeError(w, &apiError{r.Status, code, "a fault was asked for"})
		return true
	}
	h := w.Header()
	h.Set("x-amzn-ErrorType", code)
	h.Set("Content-Type", http.DetectContentType([]byte(r.Body)))
	h.Set("Content-Length", strconv.Itoa(len(r.Body)))
	w.WriteHeader(r.Status)
	w.Write([]byte(r.Body))
	return true
}

// use counts one request against a refusal.
func (b *faultBox) use(which func(*Faults) *Refusal, name string) (Refusal, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f := b.get()
	r := which(&f)
	if r.Status < 200 || r.Status > 599 || len(r.Calls) > 0 && name != "" && !slices.Contains(r.Calls, name) {
		return Refusal{}, false
	}
	was := *r
	if r.Times > 0 {
		if r.Times--; r.Times == 0 {
			*r = Refusal{}
		}
		b.f.Store(&f)
	}
	return was, true
}

// deliver puts a letter into a mailbox, subject to the faults.
func (f Faults) deliver(b *mailbox, l letter) {
	if f.Delay > 0 {
		l.due = time.Now().Add(f.Delay)
	}
	b.put(l)
	if f.Duplicate {
		b.letters = append(b.letters, l)
	}
	if f.Reorder {
		slices.Reverse(b.letters)
	}
}
