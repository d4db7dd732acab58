package rig

import (
	"fmt"
)

// The pictures of a codec are small: encoders of AV1 share the machine with the browser.
const (
	CodecWidth  = 320
	CodecHeight = 180
	CodecFPS    = 15
)

// BarsCommand is ffmpeg's words for colour bars as a source, encoded as the words say: live, a key frame each second.
func BarsCommand(words string) string {
	return fmt.Sprintf("exec:ffmpeg -nostdin -v error -re -f lavfi -i smptebars=size=%dx%d:rate=%d -pix_fmt yuv420p "+
		"-g %d %s -flush_packets 1 -",
		CodecWidth, CodecHeight, CodecFPS, CodecFPS, words)
}

// IVF is ffmpeg's words for the codecs that IVF holds, by name in RTP.
var IVF = map[string]string{
	"VP8": "-c:v libvpx -deadline realtime -cpu-used 8 -b:v 400k -f ivf",
	"VP9": "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -b:v 400k -f ivf",
	"AV1": "-c:v libaom-av1 -usage realtime -cpu-used 8 -b:v 400k -f ivf",
}
