package storage

import (
	"errors"
	"fmt"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp/codecs"
	"github.com/pion/webrtc/v4"
	"github.com/pion/webrtc/v4/pkg/media"
	"github.com/pion/webrtc/v4/pkg/media/samplebuilder"
)

// How many packets to wait for a missing one before its sample is given up.
const (
	lateVideo = 512
	lateAudio = 16
)

var errIdle = errors.New("no media for too long")

// recording is a master's session. The goroutine that runs the call owns its fields.
type recording struct {
	*call
	channel *channel
	movie   *movie
	video   webrtc.SSRC // 0 before the track
	gap     bool        // the picture is broken until the next key frame
	heard   time.Time   // the last sample
	idle    time.Duration
}

// record lets a master send to the call.
func (s *Store) record(c *call, ch *channel) error {
	r := &recording{call: c, channel: ch, movie: newMovie(s.opts.Dir, nameOf(c.ss.ChannelARN)), gap: true,
		heard: time.Now(), idle: s.opts.Idle}
	for _, kind := range []webrtc.RTPCodecType{webrtc.RTPCodecTypeVideo, webrtc.RTPCodecTypeAudio} {
		if _, err := c.pc.AddTransceiverFromKind(kind,
			webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly}); err != nil {
			return fmt.Errorf("%s: %w", kind, err)
		}
	}
	c.onAnswer = func() error { return c.agreed("sendonly") }
	c.onTrack = r.take
	c.onBeat = r.beat
	c.onEnd = r.finish
	return nil
}

// take starts reading a track.
func (r *recording) take(t *webrtc.TrackRemote) error {
	if t.Kind() == webrtc.RTPCodecTypeVideo {
		r.video = t.SSRC()
		r.work.Go(func() {
			r.read(t, r.channel.video, samplebuilder.New(lateVideo, &codecs.H264Packet{}, videoRate), r.picture)
		})
		r.askKey()
		return nil
	}
	r.work.Go(func() {
		r.read(t, r.channel.audio, samplebuilder.New(lateAudio, &codecs.OpusPacket{}, audioRate), r.sound)
	})
	return nil
}

// read reads packets from a track until the connection is closed. It forwards them to viewers unchanged, and to the
// file as samples.
func (r *recording) read(t *webrtc.TrackRemote, out *outlet, samples *samplebuilder.SampleBuilder,
	write func(*media.Sample, time.Time) error) {
	for {
		p, _, err := t.ReadRTP()
		if err != nil {
			return
		}
		now := time.Now()
		if err := out.forward(t, p); err != nil {
			r.log.Debug("forward", "err", err)
		}
		samples.Push(p)
		for s := samples.Pop(); s != nil; s = samples.Pop() {
			r.post(func() error { return write(s, now) })
		}
	}
}

// picture handles one access unit.
func (r *recording) picture(s *media.Sample, now time.Time) error {
	r.heard = now
	u, err := parseUnit(s.Data)
	if err != nil {
		r.gap = true
		return nil
	}
	r.gap = (r.gap || s.PrevDroppedPackets > 0) && !u.key
	if r.gap {
		return nil
	}
	return r.movie.picture(u, s.PacketTimestamp, now)
}

func (r *recording) sound(s *media.Sample, now time.Time) error {
	r.heard = now
	return r.movie.sound(s.Data, s.PacketTimestamp, now)
}

// beat asks for a key frame while somebody needs one, and ends the session of a master that has gone silent.
func (r *recording) beat(now time.Time) error {
	if now.Sub(r.heard) > r.idle {
		return errIdle
	}
	if r.channel.keyWanted.Swap(false) || r.gap {
		r.askKey()
	}
	return nil
}

func (r *recording) askKey() {
	if r.video == 0 {
		return
	}
	if err := r.pc.WriteRTCP([]rtcp.Packet{&rtcp.PictureLossIndication{MediaSSRC: uint32(r.video)}}); err != nil {
		r.log.Debug("request a key frame", "err", err)
	}
}

func (r *recording) finish() error {
	if r.movie.file != nil {
		r.log.Info("recorded", "file", r.movie.file.Name(), "samples", r.movie.count)
	}
	return r.movie.finish()
}
