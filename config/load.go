package config

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// maxSize limits the file: nobody writes more by hand, and the parser is spared.
const maxSize = 256 << 10

// Load reads a file, replaces environment variables, decodes strictly, fills in defaults, reads secret files and checks
// everything. Its error is an Errors with all mistakes. Paths in the file are relative to the file.
func Load(path string) (*Config, error) {
	cfg, _, err := LoadHash(path)
	return cfg, err
}

// LoadHash is Load, and gives the SHA-256 of the file in hexadecimal, as sha256sum prints it.
func LoadHash(path string) (cfg *Config, hash string, err error) {
	f, err := openText(path)
	if err != nil {
		hint := "give another file with -c FILE"
		if errors.Is(err, fs.ErrPermission) {
			hint = "let the user of this process read it: chgrp kvsagent FILE, chmod 640 FILE"
		}
		return nil, "", Errors{{File: path, What: reason(err), Hint: hint}}
	}
	defer f.Close()
	var others fs.FileMode // what every user may do with the file
	if fi, err := f.Stat(); err == nil && fi.Mode().IsRegular() {
		others = fi.Mode().Perm() & 0o007
	}
	if others&0o002 != 0 {
		return nil, "", Errors{{File: path, Hint: "chmod o-w " + path,
			What: "every user of this host can change this file, and with it run commands"}}
	}
	data, err := io.ReadAll(io.LimitReader(f, maxSize+1))
	if err != nil {
		return nil, "", Errors{{File: path, What: reason(err)}}
	}
	sum := sha256.Sum256(data)
	cfg, d, err := decode(path, data, os.LookupEnv)
	if err == nil && others&0o004 != 0 && len(d.secrets) > 0 {
		cfg.warnings = append(cfg.warnings, d.readable())
	}
	return cfg, hex.EncodeToString(sum[:]), err
}

// pipeWithin is how long a config that comes through a pipe may take.
const pipeWithin = 5 * time.Second

// openText opens a file without waiting for somebody to write it, should it be a pipe: a reload must not hang.
func openText(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	_ = f.SetReadDeadline(time.Now().Add(pipeWithin)) // a regular file has none, and needs none
	return f, nil
}

// Parse is Load for bytes that were read already. The name appears in errors, and relative paths start in its
// directory. env looks up a variable as os.LookupEnv does.
func Parse(name string, data []byte, env func(string) (string, bool)) (*Config, error) {
	cfg, _, err := decode(name, data, env)
	return cfg, err
}

func decode(name string, data []byte, env func(string) (string, bool)) (*Config, *decoder, error) {
	if len(data) > maxSize {
		return nil, nil, Errors{{File: name, What: fmt.Sprintf("larger than %d KiB", maxSize>>10),
			Hint: "is this the right file?"}}
	}
	root, perr := parse(name, data)
	if perr != nil {
		return nil, nil, Errors{perr}
	}
	d := &decoder{file: name, env: env}
	cfg := new(Config)
	top := d.root(root, cfg)
	c := &checker{decoder: d, cfg: cfg, top: top}
	if !top.bad {
		c.check()
	}
	if len(d.errs) > 0 {
		d.errs.sort()
		return nil, nil, d.errs
	}
	return cfg, d, nil
}

// reason returns the cause of a file error without operation and path, which are elsewhere in the message.
func reason(err error) string {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		return pe.Err.Error()
	}
	return err.Error()
}
