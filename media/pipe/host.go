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

// Command returns the Command of Options for a preset. It looks at the host each time, since cameras are plugged and
// unplugged, and tries the encoders once.
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

// hasDriver reports whether the kernel has a camera driver loaded, which is so once a camera was plugged in.
func hasDriver() bool {
	_, err := os.Stat("/sys/class/video4linux")
	return err == nil
}

// late wraps err, the reason why a device could not be opened, when a restart of this process would help: systemd
// resolves a class of devices (DeviceAllow=char-video4linux) when the unit starts, and finds nothing for a class whose
// driver is loaded later. After the restart the class exists, so nobody restarts twice for it.
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

// Restart reports that only a restart of this process helps.
func (e *lateError) Restart() bool { return true }

// first returns the first of the programs that is installed, or else the first one.
func first(programs ...string) string {
	for _, p := range programs {
		if _, err := exec.LookPath(p); err == nil {
			return p
		}
	}
	return programs[0]
}

// tryFor limits the trial of an encoder. A driver that hangs costs only that, and leaves time for the next ones.
const tryFor = 5 * time.Second

// findEncoders tries the H.264 encoders whose device exists, and those in software, best first.
func findEncoders(ctx context.Context, root fs.FS, works func(context.Context, string) bool) []string {
	return slices.DeleteFunc(candidates(root), func(encoder string) bool {
		ctx, cancel := context.WithTimeout(ctx, tryFor)
		defer cancel()
		return !works(ctx, encoder)
	})
}

// works lets an ffmpeg encoder encode three small pictures.
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

// candidates returns the encoders that may work on the host with this file tree, hardware first.
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

// pixelFormats asks a V4L2 device for its capture formats.
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

// saysHint returns a hint for the last words of a command: for the C library's device errors (strerror), or else to run
// it by hand.
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
