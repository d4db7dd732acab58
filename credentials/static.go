package credentials

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// static is an access key.
type static struct {
	id            string
	secret, token secret
}

func newStatic(o Options) (*static, error) {
	s := &static{
		id:     o.AccessKeyID,
		secret: secret{what: "secret access key", value: o.SecretAccessKey, file: o.SecretAccessKeyFile},
		token:  secret{what: "session token", value: o.SessionToken, file: o.SessionTokenFile},
	}
	switch {
	case s.id == "":
		return nil, errors.New("a secret without an access key id")
	case s.secret.value == "" && s.secret.file == "":
		return nil, fmt.Errorf("access key %s has no secret; hint: name a file with it", s.id)
	}
	for _, x := range []secret{s.secret, s.token} {
		if x.value != "" && x.file != "" {
			return nil, fmt.Errorf("%s: both in the config and in %s; hint: keep the file", x.what, x.file)
		}
	}
	return s, nil
}

func (s *static) fetch(context.Context) (aws.Credentials, error) {
	key, err := s.secret.read(time.Now())
	if err != nil {
		return aws.Credentials{}, err
	}
	token, err := s.token.read(time.Now())
	if err != nil {
		return aws.Credentials{}, err
	}
	return aws.Credentials{AccessKeyID: s.id, SecretAccessKey: key, SessionToken: token, Source: "kvsagent"}, nil
}

// secret is a value, or a file that holds one and may be replaced at any time.
type secret struct {
	what, value, file string
	known             bool // value was read from file
}

const (
	maxSecret = 16 << 10 // bytes; session tokens have a few KB
	settle    = time.Second
)

// read returns the value. If the file changed within the last second, read returns the earlier value, since the file
// may still be being written.
func (s *secret) read(now time.Time) (string, error) {
	if s.file == "" {
		return s.value, nil
	}
	v, changed, err := readSecret(s.file)
	if err != nil {
		return "", fmt.Errorf("%s: %w", s.what, err)
	}
	if s.known && now.Sub(changed).Abs() < settle {
		return s.value, nil
	}
	s.value, s.known = v, true
	return v, nil
}

// readSecret reads one line of text from a file.
func readSecret(name string) (v string, changed time.Time, err error) {
	f, err := os.Open(find(name))
	if err != nil {
		return "", time.Time{}, fmt.Errorf("%w; hint: may the user that this runs as read it?", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", time.Time{}, err
	}
	raw, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	if err != nil {
		return "", time.Time{}, err
	}
	v, err = parseSecret(raw)
	if err != nil {
		return "", time.Time{}, fmt.Errorf("%s: %w", f.Name(), err)
	}
	return v, info.ModTime(), nil
}

// parseSecret trims white space, and refuses what cannot be an AWS secret, without repeating it.
func parseSecret(raw []byte) (string, error) {
	v := bytes.TrimSpace(raw)
	switch {
	case len(v) == 0:
		return "", errors.New("the file is empty")
	case len(raw) > maxSecret:
		return "", fmt.Errorf("the file has more than %d bytes", maxSecret)
	}
	for _, b := range v {
		if b <= ' ' || b > '~' {
			return "", errors.New("the file holds more than one word of ASCII; hint: the bare secret, " +
				"no name before it")
		}
	}
	return string(v), nil
}

// find looks in the directory of systemd's LoadCredential= first.
func find(name string) string {
	dir := os.Getenv("CREDENTIALS_DIRECTORY")
	if dir == "" || filepath.IsAbs(name) {
		return name
	}
	there := filepath.Join(dir, name)
	if _, err := os.Stat(there); err != nil {
		return name
	}
	return there
}
