package config

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// maxSecret limits a secret file, in bytes.
const maxSecret = 64 << 10

// path makes a path absolute: it is relative to the directory of the config file.
func (c *checker) path(p string) string {
	if !filepath.IsAbs(p) {
		p = filepath.Join(filepath.Dir(c.file), p)
	}
	if abs, err := filepath.Abs(p); err == nil {
		return abs
	}
	return p
}

// secret fills in a secret from the file that key_file names, next to the key itself. Writing both is a mistake.
func (c *checker) secret(m *mark, key string, s *Secret, file *string) {
	fm := m.at(key + "_file")
	if !m.has(key+"_file") || fm.bad {
		return
	}
	if m.has(key) {
		c.fail(fm, key+" is there too", "keep one of them")
		return
	}
	*file = c.path(*file)
	data, err := readFile(*file)
	if err != nil {
		c.fail(fm, err.Error(), "a file with the secret on one line, readable for the user that runs kvsagent")
		return
	}
	text := strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r")
	switch {
	case text == "":
		c.fail(fm, "the file is empty", "write the secret into it, on one line")
	case strings.ContainsAny(text, "\r\n\x00"):
		c.fail(fm, "the file has more than one line", "write the secret into it, on one line")
	}
	*s = Secret(text)
	c.exposed(fm, *file)
}

// exposed warns of a secret that every user of this host can read.
func (c *checker) exposed(m *mark, file string) {
	if fi, err := os.Stat(file); err == nil && fi.Mode().Perm()&0o004 != 0 {
		c.cfg.warnings = append(c.cfg.warnings, fmt.Sprintf("%s:%d: every user of this host can read the secret in "+
			"%s; hint: chmod o-rwx %s", c.file, m.line, file, file))
	}
}

// certificates checks a PEM file of certificates and makes its path absolute.
func (c *checker) certificates(m *mark, file *string) {
	c.pem(m, file, "no certificate in the file", func(data []byte) bool {
		return x509.NewCertPool().AppendCertsFromPEM(data)
	})
}

// privateKey checks a PEM file with a private key and makes its path absolute.
func (c *checker) privateKey(m *mark, file *string) {
	c.pem(m, file, "no private key in the file", func(data []byte) bool {
		for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
			if strings.HasSuffix(block.Type, "PRIVATE KEY") {
				return true
			}
		}
		return false
	})
	if *file != "" && !m.bad {
		c.exposed(m, *file)
	}
}

func (c *checker) pem(m *mark, file *string, what string, good func([]byte) bool) {
	if *file == "" || m.bad {
		return
	}
	*file = c.path(*file)
	data, err := readFile(*file)
	if err != nil {
		c.fail(m, err.Error(), "a PEM file, readable for the user that runs kvsagent")
		return
	}
	if !good(data) {
		c.fail(m, what, "it must be PEM, with BEGIN and END lines")
	}
}

// readFile reads a regular file of at most maxSecret bytes. Its errors do not contain the path, which may have come
// from a variable.
func readFile(path string) ([]byte, error) {
	fi, err := os.Stat(path)
	if err != nil {
		return nil, errors.New("cannot read the file: " + reason(err))
	}
	if !fi.Mode().IsRegular() {
		return nil, errors.New("not a regular file")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, errors.New("cannot read the file: " + reason(err))
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	if err != nil {
		return nil, errors.New("cannot read the file: " + reason(err))
	}
	if len(data) > maxSecret {
		return nil, fmt.Errorf("the file is larger than %d KiB", maxSecret>>10)
	}
	return data, nil
}
