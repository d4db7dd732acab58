package rig

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// ffmpegVersion is what ffmpeg says of itself, once.
var ffmpegVersion = sync.OnceValues(func() ([]byte, error) { return exec.Command("ffmpeg", "-version").Output() })

// Encoded is a file that ffmpeg makes with these arguments, to which the file itself is added. It is made once on a
// machine and kept in the user's cache directory, under a name that changes with the arguments and with ffmpeg, and
// ends with suffix. Do not change the file.
func Encoded(t testing.TB, suffix string, args ...string) string {
	t.Helper()
	file, err := encoded(suffix, nil, args...)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// encoded is Encoded, with what draw writes as ffmpeg's input, unless it is nil.
func encoded(suffix string, draw func(io.Writer) error, args ...string) (string, error) {
	file, err := cached(suffix, draw, args)
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(file); err == nil {
		return file, nil
	}
	// Others may make the same file now, in another process too: each writes one of its own, and the last one to rename
	// it wins.
	temp, err := os.CreateTemp(filepath.Dir(file), "*"+suffix)
	if err != nil {
		return "", err
	}
	defer os.Remove(temp.Name())
	if err := errors.Join(temp.Close(), encode(draw, append(args, "file:"+temp.Name()))); err != nil {
		return "", err
	}
	return file, os.Rename(temp.Name(), file)
}

// cached is where a file is kept.
func cached(suffix string, draw func(io.Writer) error, args []string) (string, error) {
	version, err := ffmpegVersion()
	if err != nil {
		return "", fmt.Errorf("ffmpeg: %w; hint: apt-get install ffmpeg", err)
	}
	hash := sha256.New()
	fmt.Fprintf(hash, "%s\n%q\n", version, args)
	if draw != nil {
		_ = draw(&beginning{to: hash, left: 4 << 20}) // which ends in the middle
	}
	top, err := os.UserCacheDir()
	if err != nil {
		top = os.TempDir()
	}
	dir := filepath.Join(top, "kvsagent-test")
	return filepath.Join(dir, fmt.Sprintf("%.20x%s", hash.Sum(nil), suffix)), os.MkdirAll(dir, 0o700)
}

// beginning takes so many bytes and no more.
type beginning struct {
	to   io.Writer
	left int
}

func (b *beginning) Write(p []byte) (int, error) {
	n, err := b.to.Write(p[:min(len(p), b.left)])
	if b.left -= n; n < len(p) && err == nil {
		err = io.ErrShortWrite
	}
	return n, err
}

// encode runs ffmpeg to its end.
func encode(draw func(io.Writer) error, args []string) error {
	cmd := exec.Command("ffmpeg", append([]string{"-nostdin", "-v", "error", "-y"}, args...)...)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	if draw == nil {
		return failed(cmd.Run(), args, &errs)
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	err = errors.Join(draw(in), in.Close())
	return failed(errors.Join(err, cmd.Wait()), args, &errs)
}

func failed(err error, args []string, errs *bytes.Buffer) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("ffmpeg %s: %w: %s", strings.Join(args, " "), err, errs.String())
}
