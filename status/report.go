package status

import "time"

// Report is a snapshot of the agent. The page, the JSON at /api/v1/report, the metrics and the health checks are views
// of it. It holds no secret: URLs come without user and password.
type Report struct {
	Version  string    `json:"version"`
	Started  time.Time `json:"started"`
	Now      time.Time `json:"now"`
	Sources  []Source  `json:"sources"`  // by name
	Channels []Channel `json:"channels"` // by name

	// FirstFrames counts how long sessions took to reach each of the Stages, in seconds, since the agent started. A
	// session is counted when its first key frame has been sent or received.
	FirstFrames map[Stage]Histogram `json:"first_frames,omitempty"`

	Unsent      uint64 `json:"unsent_datagrams"` // with media, that the kernel did not accept
	Panics      uint64 `json:"panics"`           // bugs in the agent that were contained where they happened
	WrongLogins uint64 `json:"wrong_logins"`     // at the status page

	SafeMode string  `json:"safe_mode,omitempty"` // why the agent does less than it should, since it has crashed
	Stuck    []Stuck `json:"stuck,omitempty"`     // loops of the agent that do not go on

	Reload *Reload `json:"reload,omitempty"` // the last time that the config was read
}

// Reload is the outcome of reading the config, at the start or again.
type Reload struct {
	At      time.Time `json:"at"`
	OK      bool      `json:"ok"`
	Error   string    `json:"error,omitempty"` // why nothing has changed
	Hash    string    `json:"hash,omitempty"`  // SHA-256 of the config that runs
	Success time.Time `json:"success"`         // the last that succeeded
}

// Source is one source and its hub.
type Source struct {
	Name     string  `json:"name"`
	URL      string  `json:"url"`
	State    string  `json:"state"` // idle, starting, running, stalled, failed
	Error    string  `json:"error,omitempty"`
	Restarts uint64  `json:"restarts"`
	Tracks   []Track `json:"tracks"`
	Watchers int     `json:"watchers"` // subscriptions now
	Sub      *Sub    `json:"sub,omitempty"`

	Privacy string `json:"privacy,omitempty"` // what closes it now: its switch, or the privacy hours

	Notes []string `json:"notes,omitempty"` // what viewers miss, why, and what to do: "no sound: ...; hint: ..."
}

// Sub is a source's smaller stream. It runs only while a viewer needs it.
type Sub struct {
	URL      string  `json:"url"`
	State    string  `json:"state"` // like a source's
	Error    string  `json:"error,omitempty"`
	Restarts uint64  `json:"restarts"`
	Tracks   []Track `json:"tracks"`
}

// Track is one track of a source or of a peer.
type Track struct {
	Codec     string  `json:"codec"`
	Width     int     `json:"width,omitempty"`
	Height    int     `json:"height,omitempty"`
	Frames    uint64  `json:"frames"`
	KeyFrames uint64  `json:"key_frames,omitempty"`
	Bytes     uint64  `json:"bytes"`
	FPS       float64 `json:"fps,omitempty"` // frames per second, over the last seconds
	Bitrate   float64 `json:"bitrate"`       // bits per second, over the last seconds
	Packets   uint64  `json:"packets,omitempty"`
	Lost      uint64  `json:"lost,omitempty"`    // packets
	Dropped   uint64  `json:"dropped,omitempty"` // frames that the peer was too slow for
	// Dropped, by reason: start (before the first key frame), behind (the path was too slow), overrun (this host was)
	DroppedFor map[string]uint64 `json:"dropped_for,omitempty"`
	Resent     uint64            `json:"resent,omitempty"`     // packets that were lost and retransmitted
	KeysAsked  uint64            `json:"keys_asked,omitempty"` // key frames that the peer requested
	Paused     bool              `json:"paused,omitempty"`     // the peer does not want to receive it now
}

// Channel is one signaling channel.
type Channel struct {
	Name       string    `json:"name"`         // the key in the config
	KVSName    string    `json:"channel_name"` // the channel's name at KVS
	ARN        string    `json:"arn,omitempty"`
	Role       string    `json:"role"`               // master, viewer
	State      string    `json:"state"`              // connecting, connected, waiting, displaced
	Error      string    `json:"error,omitempty"`    // why it is not connected
	RetryIn    float64   `json:"retry_in,omitempty"` // seconds
	Since      time.Time `json:"since,omitzero"`     // of the current state
	Connects   uint64    `json:"connects"`
	Received   uint64    `json:"received"`            // messages
	Sent       uint64    `json:"sent"`                // messages
	Refused    uint64    `json:"refused"`             // messages the service refused (STATUS_RESPONSE)
	Ignored    uint64    `json:"ignored"`             // unusable frames and messages
	Displaced  uint64    `json:"displaced,omitempty"` // times that another master was found to get the messages
	Source     string    `json:"source,omitempty"`
	MaxViewers int       `json:"max_viewers,omitempty"`
	Peers      []Peer    `json:"peers"`

	// Storage is how media gets to the channel's stream: "" when storage is off, or waiting, connecting, connected.
	Storage      string `json:"storage,omitempty"`
	StorageError string `json:"storage_error,omitempty"` // why it is not connected

	Ended []Ended `json:"ended,omitempty"` // the last sessions, newest first, at most 10

	// EndedBy counts the sessions that are over by reason, since the channel started. The keys are a few fixed words
	// (closed, failed, refused, never_connected, ended_by_us), never a text with an address or an ID: each becomes a
	// time series.
	EndedBy map[string]uint64 `json:"ended_by,omitempty"`
}

// Peer is one session with one remote client.
type Peer struct {
	ClientID string    `json:"client_id"` // "" means the master
	Session  string    `json:"session"`   // short ID, as in the log
	State    string    `json:"state"`     // negotiating, connecting, connected, disconnected
	Offerer  string    `json:"offerer"`   // us, them
	Since    time.Time `json:"since"`
	Local    string    `json:"local,omitempty"`  // type of the selected candidate: host, srflx, prflx, relay
	Remote   string    `json:"remote,omitempty"` // see Local
	RTT      float64   `json:"rtt,omitempty"`    // seconds, as the client reports it, or else by ICE
	// Jitter of the pictures that we send, as the client reports it.
	Jitter float64 `json:"jitter_ms,omitempty"`
	// The stream of the source that it gets: main, sub; "" when there is only one.
	Level      string  `json:"level,omitempty"`
	Moves      uint64  `json:"moves,omitempty"`         // changes from one stream to the other
	Estimate   float64 `json:"estimate_bps,omitempty"`  // bits per second that its path can carry, as far as known
	Behind     float64 `json:"behind_ms,omitempty"`     // how long a picture waits here and in its path's queue
	Direct     bool    `json:"direct,omitempty"`        // media goes straight into the socket, not through Pion
	Unasked    uint64  `json:"unasked_bytes,omitempty"` // media that it sent though we asked for none
	Stray      string  `json:"stray,omitempty"`         // why media that it sent is not taken
	Sending    []Track `json:"sending,omitempty"`
	Receiving  []Track `json:"receiving,omitempty"`
	FirstFrame Stages  `json:"first_frame"`
}

// Stages is how long each step up to the first frame took, in milliseconds since the session began; 0 means not yet.
type Stages struct {
	Offer     float64 `json:"offer_ms,omitempty"`  // sent or received
	Answer    float64 `json:"answer_ms,omitempty"` // sent or received
	ICE       float64 `json:"ice_ms,omitempty"`
	Connected float64 `json:"connected_ms,omitempty"` // DTLS done
	Packet    float64 `json:"packet_ms,omitempty"`    // first one sent
	Frame     float64 `json:"frame_ms,omitempty"`     // first key frame sent or received
}

// Ended is a finished session.
type Ended struct {
	ClientID string    `json:"client_id"`
	Session  string    `json:"session"`
	At       time.Time `json:"at"`
	Seconds  float64   `json:"seconds"`
	Reason   string    `json:"reason"`
}
