package rig

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// meter writes how many bytes have come in at a site, ten times a second.
const meter = `while :; do read n </sys/class/net/$0/statistics/rx_bytes; echo $(date +%s%N) $n; sleep 0.1; done`

// Measure starts to measure what comes in by a device of the viewer.
func (n *Internet) Measure(dev string) *Process {
	n.t.Helper()
	return n.Program("view", Environment(), "sh", "-c", meter, dev)
}

// LongestPauses are the longest times in which hardly anything came, in the three seconds before some moment, when all
// was well, and after it, to the last time at which something did.
func LongestPauses(t testing.TB, p *Process, moment time.Time) (before, after time.Duration) {
	t.Helper()
	p.Stop()
	const picture = 1000 // bytes in a tenth of a second; checks and keepalives are fewer
	var at, last, bytes, lastBytes int64
	for line := range strings.Lines(p.Stdout.String()) {
		if _, err := fmt.Sscan(line, &at, &bytes); err != nil {
			continue
		}
		if lastBytes != 0 && bytes-lastBytes >= picture {
			switch gap := time.Duration(at - last); {
			case last == 0:
			case at >= moment.UnixNano():
				after = max(after, gap)
			case last >= moment.Add(-3*time.Second).UnixNano():
				before = max(before, gap)
			}
			last = at
		}
		lastBytes = bytes
	}
	return before, max(after, time.Duration(at-last))
}
