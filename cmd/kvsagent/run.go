package main

import (
	"context"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/kvsagent/kvsagent/agent"
	"github.com/kvsagent/kvsagent/config"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
)

func runCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "run", Short: "Run the agent", Args: noArgs,
		Long: "Run the agent until it is told to stop. SIGHUP, or kvsagent reload, reads the config again; what has " +
			"not changed in it is not disturbed.",
	}
	path := configFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		cfg, hash, err := (&configFile{path: *path, load: loadHash}).read(c.Context())
		if err != nil {
			return err
		}
		out := newAsyncLog(c.ErrOrStderr())
		defer out.Close()
		log, set := newLog(out, cfg.Log, isJournal(c.ErrOrStderr()))
		warn(log, cfg)
		err = serve(c.Context(), daemonOptions{cfg: cfg, hash: hash, path: *path, log: log, set: set,
			unread: out.Stuck})
		if err != nil {
			log.Error("agent failed", "err", err)
			return loggedError{err}
		}
		return nil
	}
	return c
}

// warn logs what should be mended in a config.
func warn(log *slog.Logger, cfg *config.Config) {
	for _, w := range cfg.Warnings() {
		log.Warn("config", "warning", w)
	}
}

// daemonOptions is what an agent and its status page run with.
type daemonOptions struct {
	cfg     *config.Config
	path    string // of the file that a reload reads; "" for none
	hash    string // of that file
	log     *slog.Logger
	set     *logSettings
	unread  func(time.Time) time.Duration // for how long nobody has read the log; may be nil
	started func(page string)             // gets the page's URL, "" if there is no page; may be nil
}

// serve runs an agent and its status page until ctx is done.
func serve(ctx context.Context, o daemonOptions) error {
	slog.SetDefault(o.log) // lines of libraries that know no other are lines of this log
	group, ctx := errgroup.WithContext(ctx)
	running := make(chan struct{})
	r := &reloader{
		file: &configFile{path: o.path, load: loadHash}, log: o.log, set: o.set, ends: ctx.Done(),
		asked: make(chan chan error), configs: make(chan *config.Config), applied: make(chan error),
	}
	state, _, _ := strings.Cut(os.Getenv("STATE_DIRECTORY"), ":")
	crashes, err := agent.OpenCrashes(state)
	if err != nil {
		o.log.Warn("there is no safe mode", "err", err)
	}
	defer crashes.Close()
	r.agent = agent.New(agent.Options{
		Version: version(), Log: o.log, Crashes: crashes,
		Applied: func(_ *config.Config, err error) {
			select {
			case r.applied <- err:
			case <-ctx.Done():
			}
		},
		Started: func() {
			page := r.pages[0].URL()
			o.log.Info("agent started", "version", version(), "page", page, "sources", len(o.cfg.Sources),
				"channels", len(o.cfg.Channels))
			r.agent.Runs(o.hash)
			if o.started != nil {
				o.started(page)
			}
			close(running)
		},
	})
	r.manager = &manager{log: o.log, report: r.report, stuck: r.agent.Stuck, unread: o.unread}
	r.pages = []*page{newPage(r, o), newMetricsPage(r, o)}
	for _, p := range r.pages {
		next, err := p.open(o.cfg.Status)
		if err != nil {
			return err
		}
		next.use()
		group.Go(func() error { return p.run(ctx) })
	}
	group.Go(func() error { return r.agent.Run(ctx, o.cfg, r.configs) })
	group.Go(func() error { return r.manager.run(ctx, running) })
	if o.path != "" {
		group.Go(func() error { return r.run(ctx) })
	}
	err = group.Wait()
	o.log.Info("agent stopped")
	return err
}
