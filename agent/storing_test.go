package agent_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/kinesisvideo"
	"github.com/aws/aws-sdk-go-v2/service/kinesisvideo/types"
	"github.com/kvsagent/kvsagent/agent"
	"github.com/kvsagent/kvsagent/localkvs"
	"github.com/kvsagent/kvsagent/localkvs/storage"
	"github.com/kvsagent/kvsagent/status"
)

// store is a storage service that can end its sessions.
type store struct {
	*localkvs.Server
	control *kinesisvideo.Client

	mu     sync.Mutex // guards the fields below
	cancel context.CancelFunc
	begun  int // sessions of masters
}

var errNight = errors.New("the service ends the session")

func newStore(t *testing.T) *store {
	t.Helper()
	files, err := storage.New(storage.Options{Dir: t.TempDir(), Log: logger("store")})
	if err != nil {
		t.Fatal(err)
	}
	s := &store{}
	s.Server = serviceWith(t, localkvs.Options{Log: logger("service"),
		Storage: func(ctx context.Context, ss *localkvs.StorageSession) error {
			ctx, cancel := context.WithCancelCause(ctx)
			defer cancel(nil)
			if ss.ClientID == "" {
				s.mu.Lock()
				s.cancel = func() { cancel(errNight) }
				s.begun++
				s.mu.Unlock()
			}
			return files.Session(ctx, ss)
		}})
	s.control = kinesisvideo.New(kinesisvideo.Options{
		BaseEndpoint: aws.String(s.URL()), Region: "us-west-2",
		Credentials: credentials.NewStaticCredentialsProvider("localkvs", "localkvs", ""),
	})
	return s
}

// sessions counts the masters' sessions so far.
func (s *store) sessions() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.begun
}

// end ends the master's session.
func (s *store) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cancel()
}

// create makes a channel whose media goes to a stream.
func (s *store) create(t *testing.T, name string) {
	t.Helper()
	out, err := s.control.CreateSignalingChannel(t.Context(),
		&kinesisvideo.CreateSignalingChannelInput{ChannelName: &name})
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.control.UpdateMediaStorageConfiguration(t.Context(), &kinesisvideo.UpdateMediaStorageConfigurationInput{
		ChannelARN: out.ChannelARN,
		MediaStorageConfiguration: &types.MediaStorageConfiguration{
			Status:    types.MediaStorageConfigurationStatusEnabled,
			StreamARN: aws.String(strings.Replace(*out.ChannelARN, ":channel/", ":stream/", 1)),
		},
	})
	if err != nil {
		t.Fatal(err)
	}
}

// stores waits until the channel's storage session has sent n pictures and as much audio.
func stores(t *testing.T, a *agent.Agent, name string, n uint64) (p status.Peer) {
	t.Helper()
	eventually(t, "pictures and sound go to the stream of "+name, func() bool {
		c := channel(a, name)
		if c.Storage != "connected" || c.StorageError != "" || len(c.Peers) != 1 || len(c.Peers[0].Sending) != 2 {
			return false
		}
		p = c.Peers[0]
		return p.Sending[0].Frames >= n && p.Sending[1].Frames >= n
	})
	return p
}

func TestStorage(t *testing.T) {
	s := newStore(t)
	s.create(t, "yard")
	a, _ := start(t, parse(t, s.Server, gate+"  yard: {source: pattern}\n"))
	v := join(t, s.Server, "gate", "tablet").watch()
	v.plays(t, 5)
	other := session(t, a, "gate")
	first := stores(t, a, "yard", 20)
	if first.ClientID != "" || first.Offerer != "them" || first.Sending[0].Codec != "H264" ||
		first.Sending[1].Codec != "opus" {
		t.Errorf("the storage session is %+v, want H.264 and Opus, and the service's offer", first)
	}
	if c := channel(a, "gate"); c.Storage != "" {
		t.Errorf("storage of a channel without is %q", c.Storage)
	}

	// The service ends the session: the agent joins another, and nobody else notices.
	s.end()
	eventually(t, "the session is over", func() bool { return len(channel(a, "yard").Ended) == 1 })
	second := stores(t, a, "yard", 20)
	if second.Session == first.Session || s.sessions() != 2 {
		t.Errorf("session %s after %s, %d in all; want another one, the second", second.Session, first.Session,
			s.sessions())
	}
	v.plays(t, 5)
	if after := session(t, a, "gate"); after.Session != other.Session {
		t.Errorf("the other channel's session %s became %s", other.Session, after.Session)
	}
	if c := channel(a, "gate"); c.Connects != 1 {
		t.Errorf("the other channel connected %d times", c.Connects)
	}

	// A page cannot watch, and gets the reason; a viewer joins the storage session, too.
	var problem *status.Problem
	if err := a.Watch(t.Context(), "yard", "", nil); !errors.As(err, &problem) || problem.Status != 409 ||
		!strings.Contains(problem.Text, "stores") {
		t.Errorf("watch: %v, want that the channel stores", err)
	}
	b, _ := start(t, parse(t, s.Server, "channels:\n  yard: {role: viewer, client_id: tablet}\n"))
	eventually(t, "the viewer sees pictures", func() bool {
		c := channel(b, "yard")
		return c.Storage == "connected" && len(c.Peers) == 1 && len(c.Peers[0].Receiving) > 0 &&
			c.Peers[0].Receiving[0].Frames >= 10
	})
}

// TestStorageOff: storage: off treats a channel with storage as one without.
func TestStorageOff(t *testing.T) {
	s := newStore(t)
	s.create(t, "yard")
	a, _ := start(t, parse(t, s.Server, "channels:\n  yard: {source: pattern, storage: off}\n"))
	join(t, s.Server, "yard", "tablet").watch().plays(t, 5)
	if c := channel(a, "yard"); c.Storage != "" || s.sessions() != 0 {
		t.Errorf("storage is %q, and %d sessions have begun", c.Storage, s.sessions())
	}
}

// TestStorageNeedsBothCodecs: the report and the service name what the source lacks.
func TestStorageNeedsBothCodecs(t *testing.T) {
	s := newStore(t)
	s.create(t, "yard")
	a, _ := start(t,
		parse(t, s.Server,
			"  mute: {url: \"testpattern:?size=320x240\", audio: off}\nchannels:\n"+
				"  yard: {source: mute, storage: on}\n"))
	eventually(t, "the report names what is missing", func() bool {
		c := channel(a, "yard")
		return c.State == "connected" && strings.Contains(c.StorageError, "the source has no opus") &&
			strings.Contains(c.StorageError, "audio: transcode")
	})
	if c := channel(a, "yard"); len(c.Ended) == 0 || c.Ended[0].ClientID != "" {
		t.Errorf("ended: %+v", c.Ended)
	}
}

// TestCreatedChannel: the agent creates a channel with the settings of the config.
func TestCreatedChannel(t *testing.T) {
	s := newStore(t)
	start(t,
		parse(t, s.Server,
			"channels:\n  gate: {source: pattern, create: true, message_ttl: 30s, tags: {site: yard, floor: \"2\"}}\n"))
	out, err := s.control.DescribeSignalingChannel(t.Context(),
		&kinesisvideo.DescribeSignalingChannelInput{ChannelName: aws.String("gate")})
	if err != nil {
		t.Fatal(err)
	}
	if ttl := aws.ToInt32(out.ChannelInfo.SingleMasterConfiguration.MessageTtlSeconds); ttl != 30 {
		t.Errorf("messages wait %d seconds, want 30", ttl)
	}
	tags, err := s.control.ListTagsForResource(t.Context(),
		&kinesisvideo.ListTagsForResourceInput{ResourceARN: out.ChannelInfo.ChannelARN})
	if err != nil || len(tags.Tags) != 2 || tags.Tags["site"] != "yard" || tags.Tags["floor"] != "2" {
		t.Errorf("tags %v, %v", tags, err)
	}
}
