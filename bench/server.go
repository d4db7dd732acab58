package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/kvsagent/kvsagent/bench/load"
	"github.com/kvsagent/kvsagent/localkvs"
)

// The servers that can be measured.
const (
	Agent = "kvsagent"
	Naive = "naive"
)

// server is one running server, ready for viewers.
type server struct {
	*process
	kind      string // Agent or Naive
	signaling load.Signaling
	rate      float64 // joins a second that its signaling takes
	release   func()
}

func (s *server) stop() {
	s.process.stop()
	s.release()
}

const startWithin = 20 * time.Second

// startServer runs one of the servers for at most n viewers.
func (h *harness) startServer(ctx context.Context, kind string, n int) (*server, error) {
	ctx, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	if kind == Naive {
		return h.startNaive(ctx)
	}
	return h.startAgent(ctx, n)
}

func (h *harness) startNaive(ctx context.Context) (*server, error) {
	args := []string{"-file", h.clip}
	if h.o.TWCC {
		args = append(args, "-twcc")
	}
	p, err := start(h.serverCore, h.naive, args...)
	if err != nil {
		return nil, err
	}
	url, err := p.firstLine(ctx)
	if err != nil {
		p.stop()
		return nil, err
	}
	return &server{process: p, kind: Naive, signaling: load.HTTP{URL: url, Delay: h.o.RTT / 2}, rate: 20,
		release: func() {}}, nil
}

// agentConfig lets in as many as are to be measured, though some come at once when the load's core is busy.
const agentConfig = `
aws:
  region: us-west-2
  endpoint: %q
  credentials: {access_key_id: localkvs, secret_access_key: localkvs}
sources:
  camera: %s
channels:
  bench: {source: camera, create: true, max_viewers: %d}
limits: {max_pending: 1000, offers: {per_second: 100, burst: 1000}}
webrtc: {kvs_turn: %t}
status: {listen: %q}
log: {level: warn}
`

// maxViewers is what the agent's config allows.
const maxViewers = 1000

// startAgent runs the agent with the clip, from the start, so that an idle server is idle with it.
func (h *harness) startAgent(ctx context.Context, n int) (*server, error) {
	source := fmt.Sprintf("{url: %q, keep_warm: true}", "file:"+h.clip)
	if h.o.Sub {
		source = fmt.Sprintf("{url: %q, sub: %q, keep_warm: true}", "file:"+h.clip, "file:"+h.sub)
	}
	return h.startAgentWith(ctx, source, n)
}

// startAgentWith runs an agent with a source, in YAML.
func (h *harness) startAgentWith(ctx context.Context, source string, n int) (*server, error) {
	kvs, stop, err := startKVS()
	if err != nil {
		return nil, err
	}
	page := "off"
	if h.o.Status {
		page = "127.0.0.1:0"
	}
	h.agents++
	config := filepath.Join(h.workshop.dir, fmt.Sprintf("agent-%d-%d.yaml", os.Getpid(), h.agents))
	text := fmt.Sprintf(agentConfig, kvs.URL(), source, min(max(n, 1), maxViewers), h.o.TURN, page)
	release := func() {
		stop()
		os.Remove(config)
	}
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		release()
		return nil, err
	}
	p, err := start(h.serverCore, h.agent, "run", "-c", config)
	if err != nil {
		release()
		return nil, err
	}
	s := &server{process: p, kind: Agent, signaling: load.KVS{Endpoint: kvs.URL(), Channel: "bench",
		Delay: h.o.RTT / 2}, rate: 4, release: release}
	if err := s.waitMaster(ctx, kvs); err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

// startKVS runs a signaling service without quotas but the one that the agent keeps by itself, five answers a second.
func startKVS() (*localkvs.Server, func(), error) {
	kvs, err := localkvs.New(localkvs.Options{Listen: "127.0.0.1:0", Limits: localkvs.Limits{
		Viewers: 2 * maxViewers, ConnectRate: -1, SDPRate: -1, CandidateRate: -1, ChannelCalls: -1, AccountCalls: -1,
		Allocations: -1, RelayBitrate: -1,
	}})
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- kvs.Run(ctx) }()
	return kvs, func() {
		cancel()
		<-ended
	}, nil
}

// waitMaster waits until the agent is on its channel.
func (s *server) waitMaster(ctx context.Context, kvs *localkvs.Server) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		for _, c := range kvs.State().Channels {
			if len(c.Sockets) > 0 {
				return nil
			}
		}
		select {
		case <-tick.C:
		case <-s.ended:
			return fmt.Errorf("the agent ended: %v\n%s", s.cmd.ProcessState, s.complaints())
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("the agent is not on its channel\n%s", s.complaints()), ctx.Err())
		}
	}
}
