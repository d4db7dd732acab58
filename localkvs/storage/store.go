package storage

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/kvsagent/kvsagent/localkvs"
)

// DefaultIdle is how long a master may send nothing. (KVS WebRTC developer guide, "Quotas": storage session, idle
// timeout.)
const DefaultIdle = 3 * time.Minute

// Options says where a Store writes. Only Dir is required.
type Options struct {
	Dir  string        // for the MP4 files; made when missing
	Idle time.Duration // silence of a master after which its session ends; default DefaultIdle
	Log  *slog.Logger  // default none
}

// Store is the media end of all storage sessions of one service.
type Store struct {
	opts Options

	mu       sync.Mutex // guards channels
	channels map[string]*channel
}

// New makes the directory. It starts nothing.
func New(o Options) (*Store, error) {
	if o.Dir == "" {
		return nil, fmt.Errorf("storage: no directory for the files; hint: set Dir")
	}
	if err := os.MkdirAll(o.Dir, 0o750); err != nil {
		return nil, fmt.Errorf("storage: %w", err)
	}
	if o.Idle == 0 {
		o.Idle = DefaultIdle
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Store{opts: o, channels: map[string]*channel{}}, nil
}

// Session runs one storage session from offer to end, for localkvs.Options.Storage. The error says why it ended; it is
// ctx's when the service ended it.
func (s *Store) Session(ctx context.Context, ss *localkvs.StorageSession) error {
	ch, err := s.enter(ss.ChannelARN)
	if err != nil {
		return err
	}
	defer s.leave(ss.ChannelARN, ch)
	c, err := dial(ctx, ss, s.opts.Log.With("channel", nameOf(ss.ChannelARN), "client", ss.ClientID))
	if err != nil {
		return err
	}
	defer c.close()
	if ss.ClientID == "" {
		err = s.record(c, ch)
	} else {
		err = show(c, ch)
	}
	if err != nil {
		return err
	}
	return c.run()
}

// enter returns the channel of a session, and counts the session in.
func (s *Store) enter(arn string) (*channel, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ch := s.channels[arn]
	if ch == nil {
		var err error
		if ch, err = newChannel(); err != nil {
			return nil, err
		}
		s.channels[arn] = ch
	}
	ch.sessions++
	return ch, nil
}

func (s *Store) leave(arn string, ch *channel) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ch.sessions--; ch.sessions == 0 {
		delete(s.channels, arn)
	}
}

// nameOf extracts the name from arn:aws:kinesisvideo:<region>:<account>:channel/<name>/<time>, which the service has
// checked.
func nameOf(arn string) string {
	if parts := strings.Split(arn, "/"); len(parts) == 3 {
		return parts[1]
	}
	return "channel"
}
