package pipe

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Preset is a camera of this host. The zero values of Width, Height and Rate mean 1280x720 at 30.
type Preset struct {
	Kind string // v4l2 or libcamera
	// /dev/video0, better /dev/v4l/by-id/...; for libcamera the number or name of the camera, "" being the first.
	Device        string
	ALSA          string // microphone, such as hw:1,0 or default; "" means no sound
	Width, Height int    // pixels
	Rate          int    // frames per second
	Bitrate       int    // bits per second of our own encoder; 0 derives it from the size
	Encoder       string // of ffmpeg; "" selects the best available
}

// Host is what presets need to know about this host.
type Host struct {
	Formats  []string // of the camera, in V4L2's spelling: H264, MJPG, YUYV
	Encoders []string // working H.264 encoders, in ffmpeg's spelling, best first
	Program  string   // libcamera's: rpicam-vid, or its former name libcamera-vid
}

// ParsePreset parses v4l2:/dev/video0?size=1280x720&rate=30&alsa=hw:1,0&bitrate=2M&encoder=libx264 or
// libcamera:?size=1920x1080.
func ParsePreset(raw string) (Preset, error) {
	kind, rest, _ := strings.Cut(raw, ":")
	device, query, _ := strings.Cut(rest, "?")
	p := Preset{Kind: kind, Device: device}
	values, err := url.ParseQuery(query)
	if err != nil {
		return p, fmt.Errorf("%s: %w", raw, err)
	}
	for key, all := range values {
		if len(all) != 1 {
			return p, fmt.Errorf("%s: %s is given %d times", raw, key, len(all))
		}
		if err := p.set(key, all[0]); err != nil {
			return p, fmt.Errorf("%s: %w", raw, err)
		}
	}
	p.fill()
	return p, p.check(raw)
}

func (p *Preset) set(key, value string) (err error) {
	switch key {
	case "size":
		if _, err := fmt.Sscanf(value+"\n", "%dx%d\n", &p.Width, &p.Height); err != nil {
			return fmt.Errorf("size %q; hint: size=1280x720", value)
		}
	case "rate":
		if p.Rate, err = strconv.Atoi(value); err != nil {
			return fmt.Errorf("rate %q; hint: frames a second, rate=30", value)
		}
	case "bitrate":
		number, unit := strings.TrimRight(value, "kM"), 1
		switch value[len(number):] {
		case "k":
			unit = 1000
		case "M":
			unit = 1_000_000
		}
		f, err := strconv.ParseFloat(number, 64)
		if err != nil || !(f*float64(unit) >= 50_000 && f*float64(unit) <= 100_000_000) {
			return fmt.Errorf("bitrate %q; hint: bits a second, bitrate=2M, from 50k to 100M", value)
		}
		p.Bitrate = int(f * float64(unit))
	case "alsa":
		p.ALSA = value
	case "encoder":
		p.Encoder = value
	default:
		return fmt.Errorf("unknown option %q; hint: size, rate, bitrate, alsa and encoder are known", key)
	}
	return nil
}

func (p *Preset) fill() {
	if p.Width == 0 && p.Height == 0 {
		p.Width, p.Height = 1280, 720
	}
	if p.Rate == 0 {
		p.Rate = 30
	}
	if p.Bitrate == 0 { // 0.07 bits for each pixel: 1.9 Mbit/s at 1280x720 and 30 frames a second
		p.Bitrate = max(300_000, p.Width*p.Height*p.Rate*7/100/1000*1000)
	}
}

func (p *Preset) check(raw string) error {
	switch {
	case p.Kind == "v4l2" && !strings.HasPrefix(p.Device, "/dev/"):
		return fmt.Errorf("%s: no device; hint: v4l2:/dev/video0, better v4l2:/dev/v4l/by-id/..., which stays when "+
			"it is plugged elsewhere", raw)
	case p.Kind != "v4l2" && p.Kind != "libcamera":
		return fmt.Errorf("%s: no preset; hint: v4l2: or libcamera:", raw)
	case p.Width < 64 || p.Height < 64 || p.Width > 4096 || p.Height > 4096 || p.Width%2 != 0 || p.Height%2 != 0:
		return fmt.Errorf("%s: size %dx%d; hint: even numbers from 64 to 4096, size=1280x720", raw, p.Width, p.Height)
	case p.Rate < 1 || p.Rate > 120:
		return fmt.Errorf("%s: rate %d; hint: 1 to 120 frames a second", raw, p.Rate)
	case strings.HasPrefix(p.Device, "-") || strings.HasPrefix(p.ALSA, "-") || strings.HasPrefix(p.Encoder, "-"):
		return fmt.Errorf("%s: a name that begins with -", raw)
	}
	return nil
}

// CommandLine returns the command that plays the camera on a host: H.264 without B-frames, with a key frame every two
// seconds, and Opus.
func (p Preset) CommandLine(h Host) []string {
	if p.Kind == "libcamera" {
		return p.libcamera(h)
	}
	return p.v4l2(h)
}

// The render node that VA-API encodes on.
const renderNode = "/dev/dri/renderD128"

// v4l2 uses the camera's own H.264 if it has any, since that costs nothing. Otherwise it uses motion JPEG, whose large
// pictures fit through USB, or else raw pictures, for which ffmpeg chooses the format.
func (p Preset) v4l2(h Host) []string {
	encoder, format := p.Encoder, "mjpeg"
	switch {
	case encoder == "" && slices.Contains(h.Formats, "H264"):
		encoder, format = "copy", "h264"
	case !slices.Contains(h.Formats, "MJPG"):
		format = ""
	}
	if encoder == "" {
		encoder = "libx264"
		if len(h.Encoders) > 0 {
			encoder = h.Encoders[0]
		}
	}

	args := []string{"ffmpeg", "-hide_banner", "-nostats", "-loglevel", "warning"}
	if encoder == "h264_vaapi" {
		args = append(args, "-vaapi_device", renderNode)
	}
	args = append(args, "-fflags", "nobuffer", "-thread_queue_size", "64", "-f", "v4l2")
	if format != "" {
		args = append(args, "-input_format", format)
	}
	args = append(args, "-video_size", p.size(), "-framerate", strconv.Itoa(p.Rate), "-i", p.Device)
	if p.ALSA != "" {
		args = append(args, "-thread_queue_size", "512", "-f", "alsa", "-i", p.ALSA, "-map", "0:v", "-map", "1:a")
	}
	args = append(args, p.encode(encoder)...)
	if p.ALSA != "" {
		args = append(args, "-c:a", "libopus", "-application", "lowdelay", "-frame_duration", "20", "-ac", "2", "-ar",
			"48000", "-b:a", "64k")
	}
	return append(args, transport...)
}

// transport is MPEG-TS without delay: it keeps the capture times, and states the length of each picture.
var transport = []string{"-flush_packets", "1", "-muxdelay", "0", "-muxpreload", "0", "-pes_payload_size", "0",
	"-omit_video_pes_length", "0", "-f", "mpegts", "-"}

func (p Preset) size() string { return fmt.Sprintf("%dx%d", p.Width, p.Height) }

// encode returns the options of an encoder: no B-frames, a key frame every two seconds, and no delayed pictures.
func (p Preset) encode(encoder string) []string {
	if encoder == "copy" {
		return []string{"-c:v", "copy"}
	}
	var args []string
	switch encoder {
	case "h264_vaapi":
		args = []string{"-vf", "format=nv12,hwupload", "-c:v", encoder, "-profile:v", "constrained_baseline"}
	case "libx264":
		args = []string{"-pix_fmt", "yuv420p", "-c:v", encoder, "-preset", "veryfast", "-tune", "zerolatency",
			"-profile:v", "baseline",
			"-maxrate", strconv.Itoa(p.Bitrate), "-bufsize", strconv.Itoa(p.Bitrate / 2)}
	case "h264_nvenc":
		args = []string{"-pix_fmt", "yuv420p", "-c:v", encoder, "-preset", "p3", "-tune", "ull", "-delay", "0",
			"-profile:v", "baseline"}
	default: // h264_v4l2m2m, libopenh264 and others only know the common options
		args = []string{"-pix_fmt", "yuv420p", "-c:v", encoder}
	}
	return append(args, "-bf", "0", "-g", strconv.Itoa(2*p.Rate), "-b:v", strconv.Itoa(p.Bitrate))
}

// libcamera lets the camera's program encode, in hardware on the boards that have it. With a microphone the program
// needs its libav part.
func (p Preset) libcamera(h Host) []string {
	program := h.Program
	if program == "" {
		program = "rpicam-vid"
	}
	args := []string{program, "--timeout", "0", "--nopreview", "--width", strconv.Itoa(p.Width), "--height",
		strconv.Itoa(p.Height),
		"--framerate", strconv.Itoa(p.Rate), "--bitrate", strconv.Itoa(p.Bitrate),
		"--intra", strconv.Itoa(2 * p.Rate), "--profile", "baseline"}
	if p.Device != "" {
		args = append(args, "--camera", p.Device)
	}
	if p.ALSA == "" {
		return append(args, "--codec", "h264", "--inline", "--flush", "--output", "-")
	}
	return append(args, "--codec", "libav", "--libav-format", "mpegts", "--low-latency",
		"--libav-audio", "--audio-source", "alsa", "--audio-device", p.ALSA,
		"--audio-codec", "libopus", "--output", "-")
}
