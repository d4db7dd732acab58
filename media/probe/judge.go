package probe

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/kvsagent/kvsagent/media"
	"github.com/kvsagent/kvsagent/media/internal/es"
)

// Verdict says how a source will look in a browser.
type Verdict string

// The verdicts, from best to worst.
const (
	Good Verdict = "good" // no complaints
	Fair Verdict = "fair" // it plays, with the flaws in the findings
	Bad  Verdict = "bad"  // nothing to see
)

// Finding is one relevant observation, and what to do about it.
type Finding struct {
	Verdict Verdict `json:"verdict"` // the verdict on the source if this were the only finding
	What    string  `json:"what"`
	Hint    string  `json:"hint,omitempty"`
}

// Thresholds of findings.
const (
	longGOP   = 4000 // ms
	highRate  = 8e6  // bits a second
	jitter    = 150  // ms
	drift     = 500  // ppm
	wrongRate = 10_000
	slowStart = 5000 // ms
	burst     = 700  // ms
)

// judge fills in findings and verdict.
func (r *Result) judge(err error) {
	r.Findings = []Finding{}
	r.judgeError(err)
	if v := r.Video; v != nil && v.Frames > 0 {
		r.judgeCodec(v)
		r.judgeVideo(v)
	}
	r.judgeAudio()
	r.judgeClock()
	r.Verdict = Good
	for _, f := range r.Findings {
		if rank(f.Verdict) > rank(r.Verdict) {
			r.Verdict = f.Verdict
		}
	}
}

func rank(v Verdict) int { return slices.Index([]Verdict{Good, Fair, Bad}, v) }

func (r *Result) add(v Verdict, what, hint string) {
	r.Findings = append(r.Findings, Finding{v, what, hint})
}

func (r *Result) judgeError(err error) {
	switch {
	case errors.Is(err, errBFrames), err != nil && strings.Contains(err.Error(), "B-frames"):
		if r.Video != nil {
			r.Video.BFrames = true
		}
		r.add(Bad, "the pictures come in another order than they are shown (B-frames), which WebRTC cannot carry",
			"set the camera's H.264 profile to Baseline, or the number of B-frames to 0")
	case err != nil:
		what, hint, _ := strings.Cut(err.Error(), "; hint: ")
		r.add(Bad, what, hint)
	case r.Video == nil && r.Audio == nil:
		r.add(Bad, "nothing came", "is the camera sending?")
	case r.Video != nil && r.Video.Frames == 0:
		r.add(Bad, "no picture came", "set the camera's key frame (I-frame) interval to 2 seconds or less")
	}
}

// judgeCodec says which browsers can decode it, going by what they offer in WebRTC.
func (r *Result) judgeCodec(v *Video) {
	switch media.Codec(v.Codec) {
	case media.H264:
		r.add(Good, "H.264 plays in every browser", "")
	case media.VP8:
		r.add(Good, "VP8 plays in every browser", "")
	case media.VP9:
		r.add(Good, "VP9 plays in every browser of these days", "")
	case media.AV1:
		r.add(Fair, "AV1 plays in Chrome, Edge and Firefox, and in Safari on the newest devices only",
			"set the camera to H.264 if Safari matters")
	case media.H265:
		r.add(Fair,
			"H.265 plays in Safari, and in Chrome and Edge where the device decodes it in hardware; not in Firefox",
			"set the camera to H.264, or use its sub stream")
	}
}

func (r *Result) judgeVideo(v *Video) {
	switch {
	case v.GOPMS > longGOP:
		r.add(Fair,
			fmt.Sprintf("%.1f s from one key frame to the next: after lost packets the picture stands that long, and "+
				"who comes in between waits for a burst of old pictures", v.GOPMS/1000),
			"set the key frame (I-frame) interval to 2 seconds")
	case v.GOPMS == 0 && v.FPS > 0 && float64(v.Frames)/v.FPS > longGOP/1000:
		r.add(Fair, fmt.Sprintf("one key frame only in %.0f s", float64(v.Frames)/v.FPS),
			"set the key frame (I-frame) interval to 2 seconds, or probe longer")
	}
	if v.Refresh {
		r.add(Bad, "no IDR pictures, but recovery points (intra refresh): Chromium shows nothing of that",
			"switch off intra refresh in the camera, and set the key frame (I-frame) interval to 2 seconds")
	}
	if v.Bitrate > highRate {
		r.add(Fair, fmt.Sprintf("%.1f Mbit/s are more than many uplinks and mobile networks carry", v.Bitrate/1e6),
			"set 2 to 4 Mbit/s, or use the sub stream")
	}
	if v.PeakMS > burst && v.Frames > 20 {
		r.add(Fair,
			fmt.Sprintf("the largest picture takes as long as %.1f s at the average rate: on a narrow line it "+
				"stutters at each key frame", v.PeakMS/1000),
			"set the rate control to CBR")
	}
	if v.FPS > 0 && v.FPS < 10 && v.Frames > 5 {
		r.add(Fair, fmt.Sprintf("%.1f pictures a second look jerky", v.FPS), "set 15 or more")
	}
	if r.FirstFrameMS > slowStart {
		r.add(Fair, fmt.Sprintf("the first picture took %.1f s", r.FirstFrameMS/1000),
			"shorten the key frame interval, or set keep_warm: true")
	}
}

func (r *Result) judgeAudio() {
	a := r.Audio
	switch {
	case r.Video == nil && a == nil:
	case a == nil:
		r.add(Good, "no sound", "")
	case es.Foreign(media.Codec(a.Codec)):
		r.add(Fair, fmt.Sprintf("sound in %s, which browsers cannot play: there is none", a.Codec),
			"set the camera's audio to Opus or G.711, or set audio: transcode, which needs ffmpeg")
	case a.Packets == 0:
		r.add(Fair, fmt.Sprintf("sound in %s is announced, but does not come", a.Codec),
			"is there a microphone, and is it on?")
	default:
		r.add(Good, fmt.Sprintf("sound in %s plays in every browser", a.Codec), "")
	}
}

func (r *Result) judgeClock() {
	c := r.Clock
	if c == nil {
		return
	}
	if c.DriftPPM > wrongRate || c.DriftPPM < -wrongRate {
		r.add(Fair, fmt.Sprintf("its time stamps run about %.2f times as fast as time; they are corrected after ten "+
			"seconds", 1/max(0.01, 1-c.DriftPPM/1e6)),
			"set a frame rate that the camera can keep, or update its firmware")
		return
	}
	if c.JitterMS > jitter {
		r.add(Fair, fmt.Sprintf("pictures come up to %.0f ms late: browsers wait that much longer with each",
			c.JitterMS), "is the network (Wi-Fi?) or the camera busy?")
	}
	if c.DriftPPM > drift || c.DriftPPM < -drift {
		r.add(Fair, fmt.Sprintf("its clock is off by %.0f ppm", c.DriftPPM), "let the camera use NTP")
	}
	if c.Jumps > 0 {
		r.add(Fair, fmt.Sprintf("its clock jumped %d times", c.Jumps), "are packets lost on the way?")
	}
}
