package demux

import (
	"bytes"
	"slices"
)

// maxPrograms limits the programs of a stream that are looked at.
const maxPrograms = 64

// guide chooses among the programs of a stream: the first one with video that can be played, else the first one with
// sound. A radio program often comes first.
type guide struct {
	programs []program // in the order of the PAT
	number   uint16    // of the chosen one
	table    []byte    // its PMT, nil until chosen
}

type program struct {
	number, pid uint16
	table       []byte // nil until it came
}

// associate reads a program association table (section 2.4.4.3), and returns the PIDs of program maps that are new.
func (g *guide) associate(b []byte) (pids []uint16) {
	for e := b[8 : len(b)-4]; len(e) >= 4 && len(g.programs) < maxPrograms && g.table == nil; e = e[4:] {
		p := program{number: uint16(e[0])<<8 | uint16(e[1]), pid: uint16(e[2]&0x1f)<<8 | uint16(e[3])}
		known := func(o program) bool { return o.number == p.number }
		if p.number == 0 || slices.ContainsFunc(g.programs, known) { // 0 is the network table
			continue
		}
		if !slices.ContainsFunc(g.programs, func(o program) bool { return o.pid == p.pid }) {
			pids = append(pids, p.pid)
		}
		g.programs = append(g.programs, p)
	}
	return pids
}

// numberOf returns the program of a PMT.
func numberOf(table []byte) uint16 { return uint16(table[3])<<8 | uint16(table[4]) }

// choose takes a program map and returns that of the chosen program, once there is one: when the maps are known of all
// programs before it, or when a map comes again, since then all that come have come.
func (g *guide) choose(table []byte) []byte {
	again := false
	for i := range g.programs {
		if p := &g.programs[i]; p.number == numberOf(table) {
			again, p.table = p.table != nil, table
		}
	}
	var first []byte
	missing := false
	for _, p := range g.programs {
		switch {
		case p.table == nil:
			missing = true
		case shows(p.table) && (!missing || again):
			return g.take(p.table)
		case first == nil:
			first = p.table
		}
	}
	if first != nil && (!missing || again) {
		return g.take(first)
	}
	return nil
}

func (g *guide) take(table []byte) []byte {
	g.table, g.number = table, numberOf(table)
	return table
}

// check returns an error when a program map says that the chosen program has other streams now.
func (g *guide) check(table []byte) error {
	if numberOf(table) == g.number && !bytes.Equal(streams(table), streams(g.table)) {
		return errProgram
	}
	return nil
}

// shows reports whether a program has video that can be played.
func shows(table []byte) bool {
	for _, e := range elements(table) {
		if track, _ := describe(e.kind, e.descriptors); track.Codec.Video() {
			return true
		}
	}
	return false
}
