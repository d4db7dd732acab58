package main

import (
	"context"
	"log/slog"
	"reflect"
	"sync"

	"github.com/kvsagent/kvsagent/config"
	"github.com/kvsagent/kvsagent/status"
)

// page is the status page, which a reload may move to another address: the new one is open before the old one closes.
type page struct {
	log     *slog.Logger
	options func(config.Status) status.Options

	mu     sync.Mutex     // guards the fields below
	cfg    config.Status  // that is served
	server *status.Server // nil: off
	moved  chan struct{}  // closed when server has been replaced
}

// nextPage is what the page turns to once use is called.
type nextPage struct {
	of      *page
	cfg     config.Status
	server  *status.Server
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
	switch {
	case c.Off():
		n.server = nil
	case p.server == nil || p.cfg.Listen != c.Listen:
		var err error
		n.server, err = status.Listen(c.Listen, p.options(c))
		return n, err
	}
	return n, nil
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
		p.server.Set(p.options(n.cfg)) // at the same address
		return
	}
	p.server = n.server
	if p.moved != nil {
		close(p.moved)
	}
	p.moved = make(chan struct{})
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
