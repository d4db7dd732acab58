package es

import (
	"fmt"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/ac3"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg1audio"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"

	"github.com/kvsagent/kvsagent/media"
)

// FFmpegFormat returns the options with which ffmpeg reads a sequence of frames of foreign audio.
func FFmpegFormat(c media.Codec) []string {
	switch c {
	case ADTS:
		return []string{"-f", "aac"}
	case MPA:
		return []string{"-f", "mp3"}
	case AC3:
		return []string{"-f", "ac3"}
	}
	rate, channels := pcm(c)
	return []string{"-f", "s16be", "-ar", fmt.Sprint(rate), "-ac", fmt.Sprint(channels)}
}

func pcm(c media.Codec) (rate, channels int) {
	if _, err := fmt.Sscanf(string(c), string(L16)+"%d/%d", &rate, &channels); err != nil || rate <= 0 ||
		channels <= 0 {
		return 48000, 2
	}
	return rate, channels
}

// Duration returns the duration of a frame of foreign audio; 0 when it is damaged.
func Duration(c media.Codec, b []byte) time.Duration {
	samples, rate := 0, 1
	switch c {
	case ADTS:
		var p mpeg4audio.ADTSPackets
		if p.Unmarshal(b) != nil || len(p) == 0 || p[0].SampleRate == 0 {
			return 0
		}
		samples, rate = len(p)*mpeg4audio.SamplesPerAccessUnit, p[0].SampleRate
	case MPA:
		for len(b) > 4 {
			var h mpeg1audio.FrameHeader
			if h.Unmarshal(b) != nil || h.SampleRate == 0 || h.FrameLen() <= 0 {
				break
			}
			samples, rate = samples+h.SampleCount(), h.SampleRate
			b = b[min(h.FrameLen(), len(b)):]
		}
	case AC3:
		for len(b) > 8 {
			var s ac3.SyncInfo
			if s.Unmarshal(b) != nil || s.SampleRate() == 0 || s.FrameSize() <= 0 {
				break
			}
			samples, rate = samples+ac3.SamplesPerFrame, s.SampleRate()
			b = b[min(s.FrameSize(), len(b)):]
		}
	default:
		var channels int
		rate, channels = pcm(c)
		samples = len(b) / 2 / channels
	}
	return time.Duration(samples) * time.Second / time.Duration(rate)
}
