package main

import (
	"fmt"
	"io"

	"github.com/kvsagent/kvsagent/config"
	"github.com/kvsagent/kvsagent/localkvs"
	"github.com/spf13/cobra"
)

func localkvsCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "localkvs", Short: "Run a KVS signaling service on this machine, for development and tests", Args: noArgs,
		Example: "  kvsagent localkvs --listen 127.0.0.1:9790 --tls-listen 127.0.0.1:9443 --tls-dir ./tls\n" +
			"  aws kinesisvideo list-signaling-channels --endpoint-url http://127.0.0.1:9790   # with access key and secret localkvs",
	}
	var o localkvs.Options
	f := c.Flags()
	f.StringVar(&o.Listen, "listen", "127.0.0.1:9790", "address for HTTP and WebSocket")
	f.StringVar(&o.TLSListen, "tls-listen", "", "address for HTTPS and WSS (default none)")
	f.StringVar(&o.TLSDir, "tls-dir", "", "directory of the service's own CA; ca.pem there is what clients trust")
	f.StringVar(&o.TURNListen, "turn-listen", "127.0.0.1:0", "address for STUN and TURN, UDP and TCP")
	f.StringVar(&o.AccessKey, "access-key", "localkvs", "the access key that is accepted")
	f.StringVar(&o.SecretKey, "secret-key", "localkvs", "its secret")
	f.StringVar(&o.StateFile, "state-file", "", "file that keeps the channels over a restart (default none)")
	level := f.String("log-level", "info", "debug, info, warn or error")
	c.RunE = func(c *cobra.Command, _ []string) error {
		o.Log = newLog(c.ErrOrStderr(), config.Log{Level: *level})
		s, err := localkvs.New(o)
		if err != nil {
			return err
		}
		describeKVS(c.OutOrStdout(), s)
		return s.Run(c.Context())
	}
	return c
}

func describeKVS(w io.Writer, s *localkvs.Server) {
	fmt.Fprintf(w, "localkvs   %s   access key localkvs, secret localkvs, any region\n", s.URL())
	if s.TLSURL() != "" {
		fmt.Fprintf(w, "           %s   trust %s\n", s.TLSURL(), s.CAFile())
	}
}
