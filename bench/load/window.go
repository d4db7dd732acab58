package load

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// arrival is one video packet.
type arrival struct {
	at        time.Time
	timestamp uint32
	marker    bool
}

// window is what a viewer notes while it is measured.
type window struct {
	began    time.Time
	arrivals []arrival
	before   counts
	traffic  traffic
	nacks    uint64
	twccs    uint64
	dropped  uint32
	refused  uint64
	clear    uint64
	holes    uint64
}

// counts is the sum over a viewer's streams.
type counts struct {
	sent, unique, repeated, late, breaks, skipped uint64
}

// Window is what one viewer saw between Begin and End.
type Window struct {
	Took           time.Duration
	Packets, Bytes uint64 // UDP payload, with repeats
	Lost           uint64 // packets that never came
	Late           uint64 // out of order, or sent again
	Repeated       uint64
	Breaks         uint64 // timestamps that do not go on as they should
	Skipped        uint64 // frames that the server left out
	Dropped        uint64 // by this process, in its socket or on the way to decryption: the fault of the benchmark
	Asked          uint64 // packets asked for (NACK)
	Again          uint64 // packets of the RTX stream
	Feedback       uint64 // packets of transport-wide feedback sent
	Decrypted      bool   // this viewer decrypts
	Clear          uint64 // packets that came out of SRTP
	Refused        uint64 // packets that SRTP did not take
	Pictures       uint64 // since the viewer has come, that were held against the book
	Switches       uint64 // of them, from one level to another

	wrong []string

	arrivals []arrival
	keys     []keyFrame
}

// Begin starts to measure. about is how long it will take.
func (v *Viewer) Begin(about time.Duration) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.window = &window{
		began: time.Now(), arrivals: make([]arrival, 0, int(about.Seconds()*600)+600),
		before: v.count(), traffic: v.traffic, nacks: v.feedback.nacks, twccs: v.feedback.twccs,
		dropped: v.socket.dropped,
		refused: v.refused, clear: v.clear(), holes: v.holes(),
	}
}

// End stops to measure.
func (v *Viewer) End() Window {
	v.mu.Lock()
	defer v.mu.Unlock()
	w, now := v.window, v.count()
	v.window = nil
	out := Window{
		Took: time.Since(w.began), Packets: v.traffic.packets - w.traffic.packets,
		Bytes: v.traffic.bytes - w.traffic.bytes,
		Late:  now.late - w.before.late, Repeated: now.repeated - w.before.repeated,
		Breaks: now.breaks - w.before.breaks, Skipped: now.skipped - w.before.skipped,
		Asked: v.feedback.nacks - w.nacks, Feedback: v.feedback.twccs - w.twccs,
		Dropped: uint64(v.socket.dropped - w.dropped),
		Again:   v.traffic.again - w.traffic.again, Refused: v.refused - w.refused, Clear: v.clear() - w.clear,
		Decrypted: v.o.Decrypt, arrivals: w.arrivals, keys: v.keys,
	}
	if sent, got := now.sent-w.before.sent, now.unique-w.before.unique; sent > got {
		out.Lost = sent - got
	}
	if holes := v.holes(); v.o.Decrypt && holes > w.holes {
		out.Dropped += holes - w.holes
	}
	if v.proof != nil {
		out.Pictures, out.Switches, out.wrong = v.proof.pictures, v.proof.switches, slices.Clone(v.proof.wrong)
	}
	return out
}

// clear is how many packets have come out of SRTP.
func (v *Viewer) clear() (n uint64) {
	for _, s := range v.decrypted {
		n += s.unique
	}
	return n
}

// holes is how many packets came, were not refused, and will not come out of SRTP: later ones have.
func (v *Viewer) holes() (n uint64) {
	for ssrc, s := range v.decrypted {
		if seen := v.streams[ssrc]; seen != nil && len(s.missing) > len(seen.missing) {
			n += uint64(len(s.missing) - len(seen.missing))
		}
	}
	return n - min(n, v.refused)
}

func (v *Viewer) count() (c counts) {
	for _, s := range v.streams {
		c.sent += uint64(s.highest - s.first + 1)
		c.unique += s.unique
		c.repeated += s.repeated
		c.late += s.late
		c.breaks += s.breaks
		c.skipped += s.skipped
	}
	return c
}

// undecrypted says how many packets came and did not come out of SRTP, or not yet.
func (v *Viewer) undecrypted() (n uint64) {
	for ssrc, s := range v.decrypted {
		seen := v.streams[ssrc]
		if seen == nil {
			return n + s.unique
		}
		n += uint64(uint16(seen.highest) - uint16(s.highest))
	}
	return n
}

// Errors says what a window must not have, whatever the speed.
func (w Window) Errors() (errs []error) {
	add := func(n uint64, what string) {
		if n > 0 {
			errs = append(errs, fmt.Errorf("%d %s", n, what))
		}
	}
	add(w.Breaks, "timestamps that do not go on as they should")
	add(w.Refused, "packets that did not decrypt")
	for _, what := range w.wrong {
		errs = append(errs, errors.New(what))
	}
	if w.Decrypted && w.Clear == 0 {
		errs = append(errs, errors.New("nothing was decrypted"))
	}
	return errs
}

// Received is how many RTP packets have come in all.
func (v *Viewer) Received() uint64 {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.traffic.packets
}
