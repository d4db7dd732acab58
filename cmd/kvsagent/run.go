package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/kvsagent/kvsagent/agent"
	"github.com/kvsagent/kvsagent/config"
	"github.com/kvsagent/kvsagent/status"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
)

func runCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "run", Short: "Run the agent", Args: noArgs,
		Long: "Run the agent until it is told to stop. SIGHUP reads the config again; what has not changed in it is " +
			"not disturbed.",
	}
	path := configFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		cfg, err := load(*path)
		if err != nil {
			return err
		}
		return serve(c.Context(), cfg, *path, newLog(c.ErrOrStderr(), cfg.Log), func(string) {})
	}
	return c
}

// serve runs an agent and its status page until ctx is done. path is the file that a reload reads, "" if there is none.
// started gets the page's URL, "" if there is no page.
func serve(ctx context.Context, cfg *config.Config, path string, log *slog.Logger, started func(page string)) error {
	group, ctx := errgroup.WithContext(ctx)
	page := ""
	running := make(chan struct{})
	a := agent.New(agent.Options{Version: version(), Log: log, Started: func() {
		log.Info("agent started", "version", version(), "page", page, "sources", len(cfg.Sources),
			"channels", len(cfg.Channels))
		started(page)
		close(running)
	}})
	if !cfg.Status.Off() {
		s, err := status.Listen(cfg.Status.Listen,
			status.Options{Report: a.Report, Watch: a.Watch, Privacy: a.SetPrivacy, Snapshot: a.Snapshot,
				Offer: a.Offer, Hosts: cfg.Status.Hosts, Pprof: cfg.Status.Pprof, Log: log})
		if err != nil {
			return err
		}
		page = s.URL()
		group.Go(func() error { return s.Run(ctx) })
	}
	reload := make(chan *config.Config)
	group.Go(func() error { return a.Run(ctx, cfg, reload) })
	manager := &manager{log: log, report: a.Report}
	group.Go(func() error { return manager.run(ctx, running) })
	if path != "" {
		group.Go(func() error { return reloads(ctx, path, log, manager, reload) })
	}
	err := group.Wait()
	log.Info("agent stopped")
	return err
}

// reloads reads the config again on each SIGHUP. A bad config changes nothing.
func reloads(ctx context.Context, path string, log *slog.Logger, m *manager, out chan<- *config.Config) error {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-hup:
		}
		m.reloading()
		cfg, err := config.Load(path)
		if err != nil {
			log.Error("config not reloaded", "err", fmt.Sprintf("%q", err.Error()))
			m.ready()
			continue
		}
		select {
		case out <- cfg:
		case <-ctx.Done():
			return nil
		}
		m.ready()
	}
}
