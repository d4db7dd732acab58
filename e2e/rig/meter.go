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

// LongestPause is the longest time in which hardly anything came, from the first moment to the last in which something did.
func LongestPause(t testing.TB, p *Process) time.Duration {
	t.Helper()
	p.Stop()
	const picture = 1000 // bytes in a tenth of a second; checks and keepalives are fewer
	var at, last, longest, bytes, lastBytes int64
	for line := range strings.Lines(p.Stdout.String()) {
		if _, err := fmt.Sscan(line, &at, &bytes); err != nil {
			continue
		}
		if lastBytes != 0 && bytes-lastBytes >= picture {
			if last != 0 {
				longest = max(longest, at-last)
			}
			last = at
		}
		lastBytes = bytes
	}
	return time.Duration(max(longest, at-last))
}
