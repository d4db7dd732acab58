package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// maxSize limits the file: nobody writes more by hand, and the parser is spared.
const maxSize = 256 << 10

// Load reads a file, replaces environment variables, decodes strictly, fills in defaults, reads secret files and checks
// everything. Its error is an Errors with all mistakes. Paths in the file are relative to the file.
func Load(path string) (*Config, error) {
	f, err := os.Open(path)
	if err != nil {
		hint := "give another file with -c FILE"
		if errors.Is(err, fs.ErrPermission) {
			hint = "let the user of this process read it: chgrp kvsagent FILE, chmod 640 FILE"
		}
		return nil, Errors{{File: path, What: reason(err), Hint: hint}}
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxSize+1))
	if err != nil {
		return nil, Errors{{File: path, What: reason(err)}}
	}
	return Parse(path, data, os.LookupEnv)
}

// Parse is Load for bytes that were read already. The name appears in errors, and relative paths start in its
// directory. env looks up a variable as os.LookupEnv does.
func Parse(name string, data []byte, env func(string) (string, bool)) (*Config, error) {
	if len(data) > maxSize {
		return nil, Errors{{File: name, What: fmt.Sprintf("larger than %d KiB", maxSize>>10),
			Hint: "is this the right file?"}}
	}
	root, perr := parse(name, data)
	if perr != nil {
		return nil, Errors{perr}
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
		return nil, d.errs
	}
	return cfg, nil
}

// reason returns the cause of a file error without operation and path, which are elsewhere in the message.
func reason(err error) string {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		return pe.Err.Error()
	}
	return err.Error()
}
