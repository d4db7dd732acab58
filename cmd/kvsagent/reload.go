package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/kvsagent/kvsagent/agent"
	"github.com/kvsagent/kvsagent/config"
	"github.com/kvsagent/kvsagent/status"
	"github.com/spf13/cobra"
)

// reloader reads the config again on SIGHUP, and when the status page is asked to. A bad config changes nothing.
type reloader struct {
	file    *configFile
	log     *slog.Logger
	set     *logSettings
	agent   *agent.Agent
	pages   []*page
	manager *manager

	asked   chan chan error // each gets the outcome
	configs chan *config.Config
	applied chan error // of the newest of configs
}

func (r *reloader) run(ctx context.Context) error {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-hup:
			_ = r.reload(ctx)
		case outcome := <-r.asked:
			outcome <- r.reload(ctx)
		}
	}
}

// ask reloads, and waits for the outcome.
func (r *reloader) ask(ctx context.Context) error {
	outcome := make(chan error, 1)
	select {
	case r.asked <- outcome:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-outcome:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// reload tells the service manager, the log and the report what has come of it.
func (r *reloader) reload(ctx context.Context) error {
	r.manager.reloading()
	defer r.manager.ready()
	cfg, hash, err := r.file.read(ctx)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err == nil {
		var next nextPages
		if next, err = openAll(r.pages, cfg.Status); err == nil {
			return r.apply(ctx, cfg, hash, next)
		}
	}
	r.log.Error("config not reloaded, the old one goes on", "err", fmt.Sprintf("%q", err.Error()))
	r.agent.ReloadFailed(err)
	return err
}

// apply hands a config to the agent, and then to what else goes by it.
func (r *reloader) apply(ctx context.Context, cfg *config.Config, hash string, next nextPages) error {
	select {
	case r.configs <- cfg:
	case <-ctx.Done():
		next.drop()
		return ctx.Err()
	}
	select {
	case err := <-r.applied:
		if err != nil {
			next.drop()
			return err
		}
	case <-ctx.Done():
		next.drop()
		return ctx.Err()
	}
	r.set.set(cfg.Log)
	warn(r.log, cfg)
	next.use()
	r.agent.Runs(hash)
	return nil
}

func reloadCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "reload", Short: "Have the running agent read its config again, and wait for the outcome", Args: noArgs,
		Long: "Check the config file, have the running agent read it, and wait until it runs by it. Exit status 0 " +
			"when it does, 78 when the file has mistakes, 1 when the agent could not take it; it then runs as " +
			"before.\n" +
			"The agent is reached through its status page.",
	}
	path := configFlag(c)
	page := c.Flags().String("page", "", "URL of the running agent's status page (default: as the config says)")
	c.RunE = func(c *cobra.Command, _ []string) error {
		cfg, err := load(*path)
		if err != nil {
			return err
		}
		at := *page
		if at == "" {
			if cfg.Status.Off() {
				return errors.New("the status page is off in this config; hint: systemctl reload kvsagent, or --page " +
					"when the running agent has one")
			}
			at = "http://" + cfg.Status.Listen
		}
		if err := askReload(c.Context(), at); err != nil {
			return err
		}
		_, err = fmt.Fprintf(c.OutOrStdout(), "%s: runs now\n", *path)
		return err
	}
	return c
}

// reloadWithin is how long kvsagent reload waits for the outcome.
const reloadWithin = time.Minute

func askReload(ctx context.Context, page string) error {
	at, err := url.Parse(page)
	if err != nil {
		return fmt.Errorf("--page: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, reloadWithin)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, at.JoinPath("api/v1/reload").String(),
		bytes.NewReader([]byte("{}")))
	if err != nil {
		return fmt.Errorf("--page: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Origin", at.Scheme+"://"+at.Host)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("%w; hint: does the agent run? --page says where its status page is", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusNoContent {
		return nil
	}
	var p status.Problem
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if json.Unmarshal(body, &p) != nil || p.Text == "" {
		return fmt.Errorf("%s answers %s", page, resp.Status)
	}
	return fmt.Errorf("not reloaded, the old config goes on: %w", &p)
}
