package transport

import "github.com/kvsagent/kvsagent/peer/internal/sdp"

// Limits is what one remote may send. Pion has few limits of its own, and what a remote wrote is attacker text: it is
// checked before Pion sees it. A field that is 0 has its default.
type Limits struct {
	SDP             int // bytes of a session description; default 32 KiB
	MediaSections   int // of a session description; default 8
	Candidates      int // until the remote's ICE credentials change; default 64
	EarlyCandidates int // that come before the description they belong to; default 32

	Streams     int // RTP streams (SSRCs) of media that we asked for; default 8
	Bitrate     int // bit/s of media that we did not ask for, over 5 s, beyond which the log says so; default 256,000
	RTCP        int // RTCP packets a second, over 10 s; default 400
	KeyRequests int // requests for a key frame a second, over 10 s; default 50

	Channels     int // data channels that the remote opens; default 4: clients open one by habit
	Message      int // bytes of a message; default 16 KiB
	Messages     int // a second; default 100
	MessageBytes int // a second; default 256 KiB
}

// Filled is limits with the defaults in place.
func (l Limits) Filled() Limits {
	for _, d := range []struct {
		field *int
		value int
	}{
		{&l.SDP, 32 << 10}, {&l.MediaSections, 8}, {&l.Candidates, 64}, {&l.EarlyCandidates, 32},
		{&l.Streams, 8}, {&l.Bitrate, 256_000}, {&l.RTCP, 400}, {&l.KeyRequests, 50},
		{&l.Channels, 4}, {&l.Message, 16 << 10}, {&l.Messages, 100}, {&l.MessageBytes, 256 << 10},
	} {
		if *d.field == 0 {
			*d.field = d.value
		}
	}
	return l
}

// CheckSDP refuses a session description that is not one, is larger than any honest client's, or is not enough for a
// connection.
func (l Limits) CheckSDP(text string) error {
	d, err := sdp.Parse(text, sdp.Limits{Bytes: l.SDP, Sections: l.MediaSections})
	if err != nil {
		return err
	}
	return d.Connectable()
}
