package status

import (
	"log/slog"
	"net/http"
	"runtime"
	"strings"

	"github.com/kvsagent/kvsagent/internal/fault"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// metrics serves the Report, with the Go runtime and the process, in the Prometheus text format.
func metrics(get func() Report, log *slog.Logger) http.Handler {
	reg := prometheus.NewRegistry()
	reg.MustRegister(
		newCollector(get, log),
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return promhttp.HandlerFor(reg, promhttp.HandlerOpts{
		ErrorLog:            slog.NewLogLogger(log.Handler(), slog.LevelWarn),
		MaxRequestsInFlight: 4,
	})
}

// A client ID is never a label: clients choose theirs, and could create any number of series. Counts of sessions are
// summed over the sessions of a channel.
var (
	forSource  = []string{"source"}
	forChannel = []string{"channel", "role"}

	descBuild = desc("build_info", "The version of this agent; always 1.", "version", "go_version")
	descStart = desc("start_time_seconds", "When this agent started, in seconds since 1970.")

	descUnsent = desc("unsent_datagrams_total", "Datagrams with media that the kernel did not accept.")
	descPanics = desc("panics_total",
		"Bugs in the agent that were contained where they happened. The log has the stack.")
	descLogins = desc("status_wrong_logins_total", "Logins at the status page that were refused.")
	descSafe   = desc("safe_mode", "Whether the agent does less than it should, since it has crashed: 1 or 0.")
	descStuck  = desc("stuck_loops", "Loops of the agent that do not go on.")
	descReload = desc("config_last_reload_successful",
		"Whether the config that was read last runs: 1, or 0 when it was refused.")
	descReloadTime = desc("config_last_reload_success_timestamp_seconds",
		"When a config was last taken, in seconds since 1970.")
	descFirstFrames = desc("first_frame_seconds",
		"How long sessions took to each stage up to the first key frame, from their beginning.", "stage")

	descRunning = desc("source_running", "Whether the source delivers: 1 or 0 (also 0 while nobody watches).",
		forSource...)
	descFailing = desc("source_failing",
		"Whether the source has failed or stalled and is being tried again: 1 or 0.", forSource...)
	descRestarts     = desc("source_restarts_total", "Starts of the source after a failure.", forSource...)
	descWatchers     = desc("source_watchers", "Subscriptions to the source now.", forSource...)
	descSourceFrames = desc("source_frames_total", "Frames the source has delivered.", "source", "codec", "kind")
	descSourceKeys   = desc("source_key_frames_total", "Key frames the source has delivered.", "source", "codec",
		"kind")
	descSourceBytes = desc("source_bytes_total", "Payload bytes the source has delivered.", "source", "codec", "kind")

	descConnected = desc("channel_connected", "Whether signaling is connected: 1 or 0.", forChannel...)
	descDisplaced = desc("channel_displaced",
		"Whether another master gets the channel's messages: 1 or 0.", forChannel...)
	descDisplacements = desc("channel_displacements_total",
		"Times that another master was found to get the channel's messages.", forChannel...)
	descRetry = desc("channel_retry_seconds", "Time until the next attempt to connect; 0 when none is planned.",
		forChannel...)
	descConnects = desc("channel_connects_total", "Signaling connections made.", forChannel...)
	descReceived = desc("channel_messages_received_total", "Signaling messages received.", forChannel...)
	descSent     = desc("channel_messages_sent_total", "Signaling messages sent.", forChannel...)
	descRefused  = desc("channel_messages_refused_total", "Signaling messages that the service refused.",
		forChannel...)
	descIgnored = desc("channel_messages_ignored_total", "Signaling frames received that could not be used.",
		forChannel...)

	descPeers      = desc("channel_peers", "Sessions now, in any state.", forChannel...)
	descPeersUp    = desc("channel_peers_connected", "Sessions now whose media is connected.", forChannel...)
	descPeersRelay = desc("channel_peers_relayed", "Sessions now whose media goes through a TURN relay.", forChannel...)
	descPeersSub   = desc("channel_peers_on_sub", "Sessions now that get the smaller stream of the source.",
		forChannel...)
	descPeersDirect = desc("peers_direct",
		"Sessions now whose media goes straight into the socket; the others cost several times as much processor time.",
		forChannel...)
	descPeersMax = desc("channel_peers_limit", "Sessions allowed at a time; 0 is no limit.", forChannel...)
	descRTT      = desc("channel_peers_rtt_max_seconds", "The longest round trip of the sessions now.", forChannel...)
	descJitter   = desc("channel_peers_jitter_max_seconds",
		"The most uneven arrival of pictures among the sessions now, as they report it.", forChannel...)
	descBehind = desc("channel_peers_behind_max_seconds",
		"The longest that a picture waits for one of the sessions now, here and in its path's queue.", forChannel...)
	descFirst = desc("channel_peers_first_frame_max_seconds",
		"The longest time to the first frame of the sessions now.", forChannel...)
	descEnded = desc("channel_sessions_ended_total", "Sessions that are over, by reason.", "channel", "role",
		"reason")

	descPeerSend = desc("channel_peers_sending_bytes_per_second", "Media sent to the sessions now.", "channel",
		"role", "codec", "kind")
	descPeerReceive = desc("channel_peers_receiving_bytes_per_second", "Media received from the sessions now.",
		"channel", "role", "codec", "kind")
	descPeerDropped = desc("channel_peers_dropped_frames", "Frames the sessions now were too slow for.", "channel",
		"role", "codec", "kind")
	descPeerLost = desc("channel_peers_lost_packets", "Packets lost on the way to and from the sessions now.",
		"channel", "role", "codec", "kind")
)

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("kvsagent_"+name, help, labels, nil)
}

// collector reads the Report at each scrape.
type collector struct {
	report func() Report
	log    *slog.Logger
}

var _ prometheus.Collector = collector{}

func newCollector(get func() Report, log *slog.Logger) collector { return collector{get, log} }

// Describe describes no metric: the report decides which ones exist, so the registry checks each scrape instead.
func (c collector) Describe(chan<- *prometheus.Desc) {}

// Collect turns one report into metrics.
func (c collector) Collect(ch chan<- prometheus.Metric) {
	// The registry calls it in a goroutine of its own.
	defer fault.Contain(c.log, "metrics", func(err error) { ch <- prometheus.NewInvalidMetric(descPanics, err) })
	r, out := c.report(), emitter(ch)
	out.gauge(descBuild, 1, r.Version, runtime.Version())
	if !r.Started.IsZero() {
		out.gauge(descStart, float64(r.Started.UnixMilli())/1000)
	}
	out.counter(descUnsent, r.Unsent)
	out.counter(descPanics, r.Panics)
	out.counter(descLogins, r.WrongLogins)
	safe := 0.0
	if r.SafeMode != "" {
		safe = 1
	}
	out.gauge(descSafe, safe)
	out.gauge(descStuck, float64(len(r.Stuck)))
	if r.Reload != nil {
		ok := 0.0
		if r.Reload.OK {
			ok = 1
		}
		out.gauge(descReload, ok)
		out.gauge(descReloadTime, float64(r.Reload.Success.UnixMilli())/1000)
	}
	for stage, h := range r.FirstFrames {
		out.histogram(descFirstFrames, h, string(stage))
	}
	for i := range r.Sources {
		out.source(&r.Sources[i])
	}
	for i := range r.Channels {
		out.channel(&r.Channels[i])
	}
}

// emitter sends constant metrics to one scrape.
type emitter chan<- prometheus.Metric

func (e emitter) gauge(d *prometheus.Desc, v float64, labels ...string) {
	e.metric(d, prometheus.GaugeValue, v, labels)
}

func (e emitter) counter(d *prometheus.Desc, v uint64, labels ...string) {
	e.metric(d, prometheus.CounterValue, float64(v), labels)
}

func (e emitter) histogram(d *prometheus.Desc, h Histogram, labels ...string) {
	e <- prometheus.MustNewConstHistogram(d, h.Count, h.Sum, h.cumulative(), labels...)
}

// metric sends one value. It repairs a label that is not UTF-8, which would otherwise fail the whole scrape.
func (e emitter) metric(d *prometheus.Desc, t prometheus.ValueType, v float64, labels []string) {
	for i, l := range labels {
		labels[i] = strings.ToValidUTF8(l, "?")
	}
	m, err := prometheus.NewConstMetric(d, t, v, labels...)
	if err != nil {
		m = prometheus.NewInvalidMetric(d, err)
	}
	e <- m
}

func (e emitter) source(s *Source) {
	e.gauge(descRunning, truth(s.State == "running"), s.Name)
	e.gauge(descFailing, truth(s.State == "failed" || s.State == "stalled"), s.Name)
	e.counter(descRestarts, s.Restarts, s.Name)
	e.gauge(descWatchers, float64(s.Watchers), s.Name)
	for codec, t := range sums(s.Tracks) {
		e.counter(descSourceFrames, t.Frames, s.Name, codec, kind(codec))
		e.counter(descSourceBytes, t.Bytes, s.Name, codec, kind(codec))
		if kind(codec) == "video" {
			e.counter(descSourceKeys, t.KeyFrames, s.Name, codec, kind(codec))
		}
	}
}

func (e emitter) channel(c *Channel) {
	e.gauge(descConnected, truth(c.connected()), c.Name, c.Role)
	e.gauge(descRetry, c.RetryIn, c.Name, c.Role)
	e.counter(descConnects, c.Connects, c.Name, c.Role)
	e.counter(descReceived, c.Received, c.Name, c.Role)
	e.counter(descSent, c.Sent, c.Name, c.Role)
	e.counter(descRefused, c.Refused, c.Name, c.Role)
	e.counter(descIgnored, c.Ignored, c.Name, c.Role)
	e.gauge(descDisplaced, truth(c.State == "displaced"), c.Name, c.Role)
	e.counter(descDisplacements, c.Displaced, c.Name, c.Role)
	for reason, n := range c.EndedBy {
		e.counter(descEnded, n, c.Name, c.Role, reason)
	}
	e.peers(c)
}

// peers sums up the sessions of one channel.
func (e emitter) peers(c *Channel) {
	var up, relayed, sub, direct, rtt, jitter, behind, first float64
	var sending, receiving []Track
	for _, p := range c.Peers {
		up += truth(p.State == "connected")
		relayed += truth(p.Local == "relay" || p.Remote == "relay")
		sub += truth(p.Level == "sub")
		direct += truth(p.Direct)
		rtt = max(rtt, p.RTT)
		jitter = max(jitter, p.Jitter/1000)
		behind = max(behind, p.Behind/1000)
		first = max(first, p.FirstFrame.Frame/1000)
		sending = append(sending, p.Sending...)
		receiving = append(receiving, p.Receiving...)
	}
	e.gauge(descPeers, float64(len(c.Peers)), c.Name, c.Role)
	e.gauge(descPeersUp, up, c.Name, c.Role)
	e.gauge(descPeersRelay, relayed, c.Name, c.Role)
	e.gauge(descPeersSub, sub, c.Name, c.Role)
	e.gauge(descPeersDirect, direct, c.Name, c.Role)
	e.gauge(descPeersMax, float64(c.MaxViewers), c.Name, c.Role)
	e.gauge(descRTT, rtt, c.Name, c.Role)
	e.gauge(descJitter, jitter, c.Name, c.Role)
	e.gauge(descBehind, behind, c.Name, c.Role)
	e.gauge(descFirst, first, c.Name, c.Role)

	for codec, t := range sums(sending) {
		e.gauge(descPeerSend, t.Bitrate/8, c.Name, c.Role, codec, kind(codec))
	}
	for codec, t := range sums(receiving) {
		e.gauge(descPeerReceive, t.Bitrate/8, c.Name, c.Role, codec, kind(codec))
	}
	for codec, t := range sums(append(sending, receiving...)) {
		e.gauge(descPeerDropped, float64(t.Dropped), c.Name, c.Role, codec, kind(codec))
		e.gauge(descPeerLost, float64(t.Lost), c.Name, c.Role, codec, kind(codec))
	}
}

// sums adds up the tracks of each codec: a scrape must not contain the same labels twice.
func sums(tracks []Track) map[string]Track {
	out := make(map[string]Track)
	for _, t := range tracks {
		s := out[t.Codec]
		s.Frames += t.Frames
		s.KeyFrames += t.KeyFrames
		s.Bytes += t.Bytes
		s.Bitrate += t.Bitrate
		s.Lost += t.Lost
		s.Dropped += t.Dropped
		out[t.Codec] = s
	}
	return out
}

// kind tells the audio codecs of the agent from everything else.
func kind(codec string) string {
	switch strings.ToLower(codec) {
	case "opus", "pcmu", "pcma":
		return "audio"
	}
	return "video"
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
