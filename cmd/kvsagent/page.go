package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"reflect"
	"sync"

	"github.com/kvsagent/kvsagent/config"
	"github.com/kvsagent/kvsagent/status"
)

// page is the status page, which a reload may move to another address: the new one is open before the old one closes.
type page struct {
	log     *slog.Logger
	listen  func(config.Status) string // "off" for none
	options func(config.Status) (status.Options, error)

	mu     sync.Mutex     // guards the fields below
	cfg    config.Status  // that is served
	server *status.Server // nil: off
	moved  chan struct{}  // closed when server has been replaced
}

// newPage is the status page itself.
func newPage(r *reloader, o daemonOptions) *page {
	return &page{
		log: o.log, listen: func(c config.Status) string { return c.Listen },
		options: func(c config.Status) (status.Options, error) {
			a := r.agent
			so := status.Options{
				Report: r.report, Stuck: r.manager.now,
				Watch: a.Watch, Privacy: a.SetPrivacy, Snapshot: a.Snapshot, Offer: a.Offer,
				Hosts: c.Hosts, Pprof: c.Pprof, Users: map[string]string{}, Log: o.log,
			}
			if o.path != "" {
				so.Reload = r.ask
			}
			for name, hash := range c.Users {
				so.Users[name] = string(hash)
			}
			if c.TLS != nil {
				pair, err := tls.LoadX509KeyPair(c.TLS.Certificate, c.TLS.PrivateKey)
				if err != nil {
					return so, fmt.Errorf("status.tls: %w", err)
				}
				so.Certificate = &pair
			}
			return so, nil
		},
	}
}

// newMetricsPage is what monitoring sees, at an address of its own.
func newMetricsPage(r *reloader, o daemonOptions) *page {
	return &page{
		log: o.log, listen: func(c config.Status) string { return cmp.Or(c.MetricsListen, "off") },
		options: func(c config.Status) (status.Options, error) {
			return status.Options{Report: r.report, Stuck: r.manager.now, Hosts: c.Hosts, MetricsOnly: true,
				Log: o.log}, nil
		},
	}
}

// nextPage is what the page turns to once use is called.
type nextPage struct {
	of      *page
	cfg     config.Status
	server  *status.Server
	options status.Options
	changed bool
}

// open makes what a config asks for, without any effect on what is served.
func (p *page) open(c config.Status) (*nextPage, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := &nextPage{of: p, cfg: c, server: p.server}
	if p.moved != nil && reflect.DeepEqual(p.cfg, c) {
		return n, nil
	}
	n.changed = true
	if p.listen(c) == "off" {
		n.server = nil
		return n, nil
	}
	var err error
	if n.options, err = p.options(c); err != nil {
		return nil, err
	}
	if p.server == nil || p.listen(p.cfg) != p.listen(c) || !p.server.Fits(n.options) {
		n.server, err = status.Listen(p.listen(c), n.options)
	}
	return n, err
}

// drop gives up what was opened.
func (n *nextPage) drop() {
	if n.server != nil && n.server != n.of.server {
		n.server.Close()
	}
}

// use serves it from now on.
func (n *nextPage) use() {
	p := n.of
	p.mu.Lock()
	defer p.mu.Unlock()
	if !n.changed {
		return
	}
	p.cfg = n.cfg
	if n.server != nil && n.server == p.server {
		p.server.Set(n.options) // at the same address
		return
	}
	p.server = n.server
	if p.moved != nil {
		close(p.moved)
	}
	p.moved = make(chan struct{})
}

// nextPages are several.
type nextPages []*nextPage

// openAll opens what a config asks for of several pages, or of none.
func openAll(pages []*page, c config.Status) (out nextPages, err error) {
	for _, p := range pages {
		n, err := p.open(c)
		if err != nil {
			out.drop()
			return nil, err
		}
		out = append(out, n)
	}
	return out, nil
}

func (all nextPages) drop() {
	for _, n := range all {
		n.drop()
	}
}

func (all nextPages) use() {
	for _, n := range all {
		n.use()
	}
}

// URL returns the address of the page, "" when it is off.
func (p *page) URL() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.server == nil {
		return ""
	}
	return p.server.URL()
}

func (p *page) current() (*status.Server, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.server, p.moved
}

// run serves the page, wherever it is, until ctx is done.
func (p *page) run(ctx context.Context) error {
	var serving sync.WaitGroup
	defer serving.Wait()
	failed := make(chan error, 1)
	for ctx.Err() == nil {
		server, moved := p.current()
		serverCtx, stop := context.WithCancel(ctx)
		defer stop()
		if server != nil {
			serving.Go(func() {
				if err := server.Run(serverCtx); err != nil {
					select {
					case failed <- err:
					default:
					}
				}
			})
		}
		select {
		case <-ctx.Done():
		case err := <-failed:
			return err
		case <-moved:
			p.log.Info("the status page has moved", "page", p.URL())
		}
		stop()
	}
	return nil
}
