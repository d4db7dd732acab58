package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/kvsagent/kvsagent/agent"
	"github.com/kvsagent/kvsagent/config"
	"github.com/kvsagent/kvsagent/status"
)

// reloader reads the config again on SIGHUP, and when the status page is asked to. A bad config changes nothing.
type reloader struct {
	file    *configFile
	log     *slog.Logger
	set     *logSettings
	agent   *agent.Agent
	pages   []*page
	manager *manager

	ends    <-chan struct{} // closed when the process ends
	asked   chan chan error // each gets the outcome
	configs chan *config.Config
	applied chan error // of the newest of configs
}

// report is the agent's, with the loops that are stuck, and the logins that were refused.
func (r *reloader) report() status.Report {
	report := r.agent.Report()
	report.Stuck, report.WrongLogins = r.manager.now(), status.WrongLogins()
	return report
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

// ask reloads, and waits for the outcome. Once the reload has begun ctx does not matter: it ends with the page over
// which the request came when the reload moves that.
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
	case <-r.ends:
		return errors.New("the agent ends")
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
