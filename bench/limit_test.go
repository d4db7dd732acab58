package bench

import "testing"

// TestLimitSearch looks for the number that a server carries, without the server.
func TestLimitSearch(t *testing.T) {
	for _, carries := range []int{0, 7, 49, 50, 51, 123, 700, mostViewers} {
		l, tries := Limit{}, 0
		for n := limitFirst; !l.done(); n = l.next(n) {
			if tries++; tries > 60 {
				t.Fatalf("%d viewers: no end, at %d to %d", carries, l.Carried, l.Failed)
			}
			if n <= carries {
				l.Carried = n
			} else {
				l.Failed = n
			}
		}
		if l.Carried > carries || carries < mostViewers && l.Failed <= carries ||
			float64(l.Carried) < 0.97*float64(carries)-1 {
			t.Errorf("%d viewers: found %d to %d", carries, l.Carried, l.Failed)
		}
	}
}

func TestVerdict(t *testing.T) {
	good := Run{Worst: 4.2, Core: 0.9, ClientCore: 0.95, Frame: Quantiles{P99: 40}}
	for _, tt := range []struct {
		name  string
		spoil func(*Run)
		fine  bool
		ours  bool
	}{
		{"busy clients, and all came", func(*Run) {}, true, false},
		{"loss", func(m *Run) { m.Lost, m.ClientCore = 0.001, 0.5 }, false, false},
		{"loss, with busy clients", func(m *Run) { m.Lost = 0.001 }, false, true},
		{"drops of the load", func(m *Run) { m.ClientLost, m.ClientCore = 1, 0.5 }, false, true},
		{"a full core", func(m *Run) { m.Core = 0.99 }, false, false},
		{"late, with an idle server", func(m *Run) { m.Frame.P99, m.Core, m.ClientCore = 900, 0.2, 0.2 }, false, true},
		{"a viewer without a picture", func(m *Run) { m.Worst, m.ClientCore = 0, 0.5 }, false, false},
	} {
		m := good
		tt.spoil(&m)
		why, ours := m.verdict()
		if fine := why == ""; fine != tt.fine || !fine && ours != tt.ours {
			t.Errorf("%s: %q, the load's fault %v; want fine %v, fault %v", tt.name, why, ours, tt.fine, tt.ours)
		}
	}
}
