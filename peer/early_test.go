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

// TestNewestWithoutAUfragStays: clients that do not say which description a candidate belongs to, such as the C SDK,
// may have started anew: the oldest gives way.
func TestNewestWithoutAUfragStays(t *testing.T) {
	var waiting []Candidate
	for port := range 8 {
		waiting = keepNewest(waiting, Candidate{Candidate: strconv.Itoa(port)}, 4)
	}
	if len(waiting) != 4 || waiting[0].Candidate != "4" || waiting[3].Candidate != "7" {
		t.Errorf("the newest four are kept: %v", waiting)
	}
}

// TestUsefulCandidates: what an honest client sends and nobody uses takes no place. What is wrong is still told later.
func TestUsefulCandidates(t *testing.T) {
	e, err := NewEngine(EngineOptions{Loopback: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = e.Close() }()
	for text, want := range map[string]bool{
		"candidate:1 1 udp 1 198.51.100.7 9 typ host":                     true,
		"candidate:1 1 tcp 1 198.51.100.7 9 typ host tcptype active":      false,
		"candidate:1 2 udp 1 198.51.100.7 9 typ host":                     false,
		"candidate:1 1 udp 1 0a0a0a0a-0000-4000-8000-00.local 9 typ host": false,
		"candidate:nonsense": true,
	} {
		if got := e.Useful(Candidate{Candidate: text}); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}
