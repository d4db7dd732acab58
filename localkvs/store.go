package localkvs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"
)

// savedChannel is a channel in the state file.
type savedChannel struct {
	Region, Name, ARN, Type, Version string
	Created                          time.Time
	TTL                              int
	Tags                             map[string]string `json:",omitempty"`
	Storage                          storage
}

// load reads the channels of a state file. A missing file has none.
func (d *directory) load(file string) error {
	if file == "" {
		return nil
	}
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("load channels: %w", err)
	}
	var list []savedChannel
	if err := json.Unmarshal(text, &list); err != nil {
		return fmt.Errorf("load channels: %s: %w; hint: remove the file to begin without channels", file, err)
	}
	for _, sc := range list {
		c := newChannel(sc.Region, sc.Name, sc.Type, sc.TTL, sc.Tags, sc.Created)
		c.arn, c.version, c.storage = sc.ARN, sc.Version, sc.Storage
		if err := d.add(c); err != nil {
			return fmt.Errorf("load channels: %s: %w", file, err)
		}
	}
	return nil
}

// keep saves the channels whenever they have changed, until ctx is done, and then once more.
func (d *directory) keep(ctx context.Context, file string, log *slog.Logger) error {
	if file == "" {
		return nil
	}
	for {
		select {
		case <-ctx.Done():
			return d.save(file)
		case <-d.changed:
			if err := d.save(file); err != nil {
				log.Error("channels not saved", "err", err)
			}
		}
	}
}

// save writes the file completely or not at all.
func (d *directory) save(file string) error {
	list := []savedChannel{}
	for _, c := range d.all() {
		if sc, ok := c.saved(); ok {
			list = append(list, sc)
		}
	}
	tmp, err := os.CreateTemp(filepath.Dir(file), filepath.Base(file)+".*")
	if err != nil {
		return fmt.Errorf("save channels: %w", err)
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(encode(list))
	if err := errors.Join(err, tmp.Close()); err != nil {
		return fmt.Errorf("save channels: %w", err)
	}
	if err := os.Rename(tmp.Name(), file); err != nil {
		return fmt.Errorf("save channels: %w", err)
	}
	return nil
}

// saved returns the channel for the state file, unless it is being deleted.
func (c *channel) saved() (sc savedChannel, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return savedChannel{
		Region: c.region, Name: c.name, ARN: c.arn, Type: c.kind, Version: c.version,
		Created: c.created, TTL: c.ttl, Tags: c.tags, Storage: c.storage,
	}, !c.deleted
}
