package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"github.com/kvsagent/kvsagent/config"
	"github.com/kvsagent/kvsagent/localkvs"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
)

// demoConfig is the whole config of the demo. The two verbs are the service's URL and the page's address, quoted.
const demoConfig = `
aws:
  endpoint: %q
  credentials: {access_key_id: localkvs, secret_access_key: localkvs}
sources:
  pattern: {url: "testpattern:", sub: "testpattern:?size=640x360"}
channels:
  demo: {source: pattern, create: true}
status: {listen: %q}
`

func demoCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "demo", Short: "Show a live test picture in your browser, with nothing else installed", Args: noArgs,
		Long: "Start a KVS signaling service (localkvs) and an agent with one channel, demo, as master on the " +
			"built-in test pattern, and\n" +
			"serve a page that plays it. Everything stays on this machine.",
	}
	listen := c.Flags().String("listen", "127.0.0.1:9780", "address of the page")
	kvsListen := c.Flags().String("localkvs-listen", "127.0.0.1:9790", "address of the signaling service")
	level := c.Flags().String("log-level", "info", "debug, info, warn or error")
	c.RunE = func(c *cobra.Command, _ []string) error {
		out := newAsyncLog(c.ErrOrStderr())
		defer out.Close()
		log, set := newLog(out, config.Log{Level: *level}, false)
		quiet := *level
		if quiet == "info" {
			quiet = "warn" // the agent logs the same from its side
		}
		serviceLog, _ := newLog(out, config.Log{Level: quiet}, false)
		kvs, err := localkvs.New(localkvs.Options{
			Listen: *kvsListen, Log: serviceLog.With("service", "localkvs"),
		})
		if err != nil {
			return otherPort(err, "--localkvs-listen")
		}
		cfg, err := config.Parse("demo", fmt.Appendf(nil, demoConfig, kvs.URL(), *listen), os.LookupEnv)
		if err != nil {
			return err
		}
		group, ctx := errgroup.WithContext(c.Context())
		group.Go(func() error { return kvs.Run(ctx) })
		group.Go(func() error {
			return otherPort(serve(ctx, daemonOptions{cfg: cfg, log: log, set: set,
				started: func(page string) { describeDemo(c.OutOrStdout(), page, cfg.AWS.Region, kvs) }}), "--listen")
		})
		return group.Wait()
	}
	return c
}

// otherPort adds a hint for a port that is in use.
func otherPort(err error, flag string) error {
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("%w; for the demo that is %s 127.0.0.1:0, say", err, flag)
	}
	return err
}

func describeDemo(w io.Writer, page, region string, kvs *localkvs.Server) {
	fmt.Fprintf(w, `
kvsagent demo

  page       %s   the live picture: open it in your browser
  channel    demo in region %s   this agent is its master, showing the built-in test pattern
`, page, region)
	fmt.Fprint(w, "  ")
	describeKVS(w, kvs)
	fmt.Fprintf(w, `
To watch from a terminal:
  AWS_ACCESS_KEY_ID=localkvs AWS_SECRET_ACCESS_KEY=localkvs kvsagent view demo --endpoint %s --region %s

Press Ctrl-C to stop.

`, kvs.URL(), region)
}
