package fanout

import (
	"math"
	"testing"
	"time"

	"github.com/kvsagent/kvsagent/peer/internal/wire"
	"github.com/pion/rtcp"
)

// The round trip is what is left of the time since our sender report, without what the remote kept it for. Nonsense
// changes nothing.
func TestRTCPStats(t *testing.T) {
	sent := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	lsr := uint32(ntpTime(sent) >> 16)
	for _, tt := range []struct {
		name       string
		after      time.Duration // from the sender report to the receiver report
		lsr, delay uint32
		jitter     uint32
		want       rtcpStats
	}{
		{"40 ms", 540 * time.Millisecond, lsr, 1 << 15, 900, rtcpStats{40 * time.Millisecond, 10 * time.Millisecond}},
		{"nothing seen of us yet", time.Second, 0, 0, 0, rtcpStats{time.Second, 0}},
		{"longer kept than away", 400 * time.Millisecond, lsr, 1 << 15, 90, rtcpStats{time.Second, time.Millisecond}},
		{"too long ago", 2 * time.Minute, lsr, 0, 90, rtcpStats{time.Second, time.Millisecond}},
		{"half a round of the clock", 0, lsr + 1<<31, 0, 90, rtcpStats{time.Second, time.Millisecond}},
		{"all bits set", time.Second, math.MaxUint32, math.MaxUint32, math.MaxUint32,
			rtcpStats{time.Second, math.MaxUint32 * time.Second / 90000}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := rtcpStats{rtt: time.Second}
			got.note(blockOf(t, rtcp.ReceptionReport{LastSenderReport: tt.lsr, Delay: tt.delay, Jitter: tt.jitter}),
				sent.Add(tt.after), 90000)
			if d := got.rtt - tt.want.rtt; d < -50*time.Microsecond || d > 50*time.Microsecond ||
				got.jitter != tt.want.jitter {
				t.Errorf("%+v, want %+v", got, tt.want)
			}
		})
	}
}

// A report crosses the day on which NTP's seconds begin again at zero, in their lower half.
func TestRTCPStatsWrap(t *testing.T) {
	sent := time.Unix(int64(1<<16)*50000-2_208_988_800, 0).Add(-10 * time.Millisecond)
	var got rtcpStats
	got.note(blockOf(t, rtcp.ReceptionReport{LastSenderReport: uint32(ntpTime(sent) >> 16)}),
		sent.Add(20*time.Millisecond), 48000)
	if d := got.rtt - 20*time.Millisecond; d < -50*time.Microsecond || d > 50*time.Microsecond {
		t.Errorf("rtt = %v, want 20ms", got.rtt)
	}
}

// blockOf is a report block as it comes.
func blockOf(t *testing.T, r rtcp.ReceptionReport) wire.ReportBlock {
	t.Helper()
	b, err := r.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return b
}
