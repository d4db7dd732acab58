package peer

import (
	"strconv"
	"testing"
)

// TestLateCandidatesLeaveRoom: candidates of a description that is past never keep out those of one to come.
func TestLateCandidatesLeaveRoom(t *testing.T) {
	of := func(ufrag string, port int) Candidate {
		return Candidate{Candidate: strconv.Itoa(port), UsernameFragment: &ufrag}
	}
	var waiting []Candidate
	for port := range 8 {
		waiting = keepNewest(waiting, of("past", port), 4)
	}
	if len(waiting) != 4 || waiting[0].Candidate != "0" {
		t.Fatalf("of one description the first are kept, to the bound: %v", waiting)
	}
	for port := range 3 {
		waiting = keepNewest(waiting, of("next", 100+port), 4)
	}
	got := 0
	for _, c := range waiting {
		if ufragOf(c) == "next" {
			got++
		}
	}
	if len(waiting) != 4 || got != 3 {
		t.Errorf("%d candidates wait, %d of them new", len(waiting), got)
	}
}
