package pipe

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Command is what Options needs of a preset: it looks at the host each time, since cameras are plugged and unplugged,
// and tries the encoders once.
func (p Preset) Command() func(context.Context) ([]string, error) {
	var mu sync.Mutex
	var encoders []string
	then := hasDriver()
	return func(ctx context.Context) ([]string, error) {
		if p.Kind == "libcamera" {
			return p.CommandLine(Host{Program: first("rpicam-vid", "libcamera-vid")}), nil
		}
		formats, err := pixelFormats(p.Device)
		if err != nil {
			return nil, late(err, then, hasDriver())
		}
		mu.Lock()
		defer mu.Unlock()
		if len(encoders) == 0 && p.Encoder == "" && !slices.Contains(formats, "H264") {
			encoders = findEncoders(ctx, os.DirFS("/"), works)
		}
		return p.CommandLine(Host{Formats: formats, Encoders: encoders}), nil
	}
}

// hasDriver reports whether the kernel knows cameras at all, which it does from the first one on that is plugged in.
func hasDriver() bool {
	_, err := os.Stat("/sys/class/video4linux")
	return err == nil
}

// late is err, the reason why a device could not be opened, unless a start of this process would mend it: systemd
// allows a class of devices (DeviceAllow=char-video4linux) by the numbers that the class has when the unit starts, and
// a class whose driver comes later has none. After that start the class was there, so that nobody restarts for it
// twice.
func late(err error, then, now bool) error {
	if errors.Is(err, unix.EPERM) && !then && now {
		return &lateError{err}
	}
	return err
}

type lateError struct{ error }

func (e *lateError) Error() string {
	return fmt.Sprintf("%v; the driver came after the start of kvsagent, which has to start again; "+
		"hint: load it at boot, with videodev in /etc/modules-load.d/kvsagent.conf", e.error)
}

func (e *lateError) Unwrap() error { return e.error }

// Restart says that nothing but another start of this process helps.
func (e *lateError) Restart() bool { return true }

// first returns the first of the programs that is installed, or else the first.
func first(programs ...string) string {
	for _, p := range programs {
		if _, err := exec.LookPath(p); err == nil {
			return p
		}
	}
	return programs[0]
}

// tryFor is how long an encoder has for its trial. A driver that hangs costs no more than that, and leaves time for
// those after it.
const tryFor = 5 * time.Second

// findEncoders tries the H.264 encoders for which there is a device, and those in software, best first.
func findEncoders(ctx context.Context, root fs.FS, works func(context.Context, string) bool) []string {
	return slices.DeleteFunc(candidates(root), func(encoder string) bool {
		ctx, cancel := context.WithTimeout(ctx, tryFor)
		defer cancel()
		return !works(ctx, encoder)
	})
}

// works has an encoder of ffmpeg make three small pictures.
func works(ctx context.Context, encoder string) bool {
	p := Preset{Width: 320, Height: 240, Rate: 10, Bitrate: 300_000}
	args := []string{"-v", "error"}
	if encoder == "h264_vaapi" {
		args = append(args, "-vaapi_device", renderNode)
	}
	args = append(append(args, "-f", "lavfi", "-i", "color=size=320x240:rate=10"), p.encode(encoder)...)
	cmd := exec.CommandContext(ctx, "ffmpeg", append(args, "-frames:v", "3", "-f", "null", "-")...)
	cmd.Env = environment(os.Environ())
	return cmd.Run() == nil
}

// candidates returns the encoders that may work on the host of a file tree, those in hardware first.
func candidates(root fs.FS) []string {
	var list []string
	names, _ := fs.Glob(root, "sys/class/video4linux/*/name")
	for _, file := range names {
		if name, err := fs.ReadFile(root, file); err == nil && strings.Contains(string(name), "enc") {
			list = append(list, "h264_v4l2m2m")
			break
		}
	}
	if _, err := fs.Stat(root, strings.TrimPrefix(renderNode, "/")); err == nil {
		list = append(list, "h264_vaapi")
	}
	if _, err := fs.Stat(root, "dev/nvidia0"); err == nil {
		list = append(list, "h264_nvenc")
	}
	return append(list, "libx264", "libopenh264")
}

// fmtdesc is struct v4l2_fmtdesc of linux/videodev2.h.
type fmtdesc struct {
	index, kind, flags uint32
	description        [32]byte
	pixelformat        uint32
	mbusCode           uint32
	reserved           [3]uint32
}

const (
	vidiocEnumFmt = 3<<30 | uint(unsafe.Sizeof(fmtdesc{}))<<16 | 'V'<<8 | 2 // _IOWR('V', 2, struct v4l2_fmtdesc)
	videoCapture  = 1                                                       // V4L2_BUF_TYPE_VIDEO_CAPTURE
	maxFormats    = 64
)

// pixelFormats asks a V4L2 device for the formats that it captures in.
func pixelFormats(device string) ([]string, error) {
	fd, err := unix.Open(device, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("%s: %w%s", device, err, deviceHint(err))
	}
	defer func() { _ = unix.Close(fd) }()
	var formats []string
	for i := range uint32(maxFormats) {
		d := fmtdesc{index: i, kind: videoCapture}
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), uintptr(vidiocEnumFmt), uintptr(unsafe.Pointer(&d)))
		if errno == unix.EINVAL && i > 0 {
			break
		}
		if errno != 0 {
			return nil, fmt.Errorf("%s: not a camera that gives pictures: %w; hint: cameras have more than one "+
				"device, try the one before", device, errno)
		}
		formats = append(formats, fourCC(d.pixelformat))
	}
	return formats, nil
}

func fourCC(v uint32) string {
	return strings.TrimSpace(string([]byte{byte(v), byte(v >> 8), byte(v >> 16), byte(v >> 24)}))
}

// saysHint returns what helps with the last words of a command: what the C library says of a device (strerror), else to
// try it by hand.
func saysHint(last string) string {
	switch {
	case strings.Contains(last, "Device or resource busy"):
		return "another program uses the device; fuser -v /dev/video* names it"
	case strings.Contains(last, "Input/output error"), strings.Contains(last, "No such device"):
		return "the device does not answer: is it plugged in, and has its port the power? dmesg tells more"
	}
	return "run the command by hand and look at what it says"
}

func deviceHint(err error) string {
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENXIO):
		return "; hint: is the camera plugged in? ls -l /dev/v4l/by-id"
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		return "; hint: under systemd, add DeviceAllow=char-video4linux rw, SupplementaryGroups=video and " +
			"PrivateDevices=no to the unit"
	case errors.Is(err, unix.EBUSY):
		return "; hint: another program uses the camera"
	}
	return ""
}
