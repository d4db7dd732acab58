package avc

import (
	"fmt"
	"strings"
	"testing"
)

// written returns the bits that f writes, as text.
func written(f func(*writer)) string {
	var w writer
	w.reset()
	f(&w)
	n := len(w.buf)*8 + int(64-w.free)
	w.u(0, w.free%8)
	var b strings.Builder
	for _, c := range w.buf {
		fmt.Fprintf(&b, "%08b", c)
	}
	return b.String()[:n]
}

func TestExpGolomb(t *testing.T) {
	// H.264 tables 9-2 and 9-3.
	for v, want := range []string{"1", "010", "011", "00100", "00101", "00110", "00111", "0001000"} {
		if got := written(func(w *writer) { w.ue(uint32(v)) }); got != want {
			t.Errorf("ue(%d) = %s, want %s", v, got, want)
		}
	}
	for i, want := range []string{"1", "010", "011", "00100", "00101", "00110", "00111"} {
		v := int32(i+1) / 2
		if i%2 == 0 {
			v = -v
		}
		if got := written(func(w *writer) { w.se(v) }); got != want {
			t.Errorf("se(%d) = %s, want %s", v, got, want)
		}
	}
}

func TestFixedLength(t *testing.T) {
	got := written(func(w *writer) {
		w.u(5, 3)
		w.u(0xDEADBEEF, 32)
		w.flag(true)
		w.flag(false)
		w.u(0, 0)
	})
	if want := "101" + "11011110101011011011111011101111" + "10"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestUnit(t *testing.T) {
	for _, tt := range []struct{ payload, want string }{
		{"\x01\x02", "\x65\x01\x02"},
		{"\x00\x00\x00", "\x65\x00\x00\x03\x00"},
		{"\x00\x00\x01", "\x65\x00\x00\x03\x01"},
		{"\x00\x00\x03\x00\x00\x02", "\x65\x00\x00\x03\x03\x00\x00\x03\x02"},
		{"\x00\x00\x04\x00\x01", "\x65\x00\x00\x04\x00\x01"},
		{"\x00\x00\x00\x00\x00\x01", "\x65\x00\x00\x03\x00\x00\x03\x00\x01"},
	} {
		w := writer{buf: []byte(tt.payload)}
		if got := string(w.unit(unitIDR)); got != tt.want {
			t.Errorf("unit(%x) = %x, want %x", tt.payload, got, tt.want)
		}
	}
}

func TestTrail(t *testing.T) {
	for _, tt := range []struct {
		n    uint
		want string
	}{{0, "10000000"}, {1, "01000000"}, {7, "00000001"}, {8, "0000000010000000"}} {
		if got := written(func(w *writer) { w.u(0, tt.n); w.trail() }); got != tt.want {
			t.Errorf("after %d bits: %s, want %s", tt.n, got, tt.want)
		}
	}
}
