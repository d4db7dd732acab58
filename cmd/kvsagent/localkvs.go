package main

import (
	"fmt"
	"io"
	"path/filepath"

	"github.com/kvsagent/kvsagent/config"
	"github.com/kvsagent/kvsagent/localkvs"
	"github.com/kvsagent/kvsagent/localkvs/storage"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
)

func localkvsCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "localkvs", Short: "Run a KVS signaling service on this machine, for development and tests", Args: noArgs,
		Long: "Run a signaling service that speaks the protocol of Kinesis Video Streams with WebRTC, on this " +
			"machine and without an AWS account.\n" +
			"Official SDKs and tools work against it once they are told its address. It prints its addresses and " +
			"runs until Ctrl-C.\n" +
			"With TLS it has a CA of its own, which clients must trust. The address it prints has a page that shows " +
			"what is going on.",
		Example: "  kvsagent localkvs\n" +
			"  kvsagent localkvs --tls-listen 127.0.0.1:9443 --tls-dir ./tls --storage-dir ./recordings\n" +
			"  AWS_ACCESS_KEY_ID=localkvs AWS_SECRET_ACCESS_KEY=localkvs AWS_REGION=us-west-2 \\\n" +
			"    aws kinesisvideo list-signaling-channels --endpoint-url http://127.0.0.1:9790",
	}
	var o localkvs.Options
	f := c.Flags()
	f.StringVar(&o.Listen, "listen", localkvs.DefaultListen, "`address` for HTTP and WebSocket, or off")
	f.StringVar(&o.TLSListen, "tls-listen", "", "`address` for HTTPS and WSS; needs --tls-dir (default none)")
	f.StringVar(&o.TLSDir, "tls-dir", "",
		"`directory` of the service's own CA, made when missing; clients must trust ca.pem in it")
	f.StringArrayVar(&o.TLSNames, "tls-name", nil,
		"further `name` or address for the certificate, beside localhost, *.localhost and the address\nthat a client "+
			"connects to; may be repeated")
	f.StringVar(&o.TURNListen, "turn-listen", localkvs.DefaultTURNListen,
		"`address` of STUN and TURN, for UDP and TCP; over TLS they take another free port")
	f.StringVar(&o.AccessKey, "access-key", localkvs.DefaultAccessKey, "the access `key` that clients must use")
	f.StringVar(&o.SecretKey, "secret-key", localkvs.DefaultSecretKey, "its `secret`")
	f.StringVar(&o.StateFile, "state-file", "", "`file` that keeps the channels over a restart (default none)")
	f.BoolVar(&o.NamedEndpoints, "named-endpoints", false,
		"give each role an endpoint of its own, such as wss://m-1a2b3c4d.localhost:9443, as AWS does;\nfor clients "+
			"that find names under .localhost, as browsers do")
	recordings := f.String("storage-dir", "",
		"`directory` for what storage sessions record, an MP4 file each; without it no client can join one")
	faults := f.String("faults", "", "JSON `file` of faults to play from the start: see Faults in docs/localkvs.md")
	level := f.String("log-level", "info", "`level`: debug, info, warn or error")
	c.RunE = func(c *cobra.Command, _ []string) error {
		o.Log, _ = newLog(c.ErrOrStderr(), config.Log{Level: *level}, false)
		var script []localkvs.Step
		if *faults != "" {
			var err error
			if script, err = localkvs.ReadScript(*faults); err != nil {
				return usageError{err}
			}
		}
		if *recordings != "" {
			store, err := storage.New(storage.Options{Dir: *recordings, Log: o.Log})
			if err != nil {
				return err
			}
			o.Storage = store.Session
		}
		s, err := localkvs.New(o)
		if err != nil {
			return err
		}
		keys := "access key localkvs, secret localkvs"
		if c.Flags().Changed("access-key") || c.Flags().Changed("secret-key") {
			keys = "access key " + o.AccessKey + ", the secret that you gave"
		}
		describeAccess(c.OutOrStdout(), s, keys)
		group, ctx := errgroup.WithContext(c.Context())
		group.Go(func() error { return s.Run(ctx) })
		group.Go(func() error {
			if err := s.Play(ctx, script); ctx.Err() == nil {
				return err
			}
			return nil
		})
		return group.Wait()
	}
	c.AddCommand(deviceCertificateCommand())
	return c
}

func deviceCertificateCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "device-certificate THING",
		Short: "Make the certificate by which a device gets AWS IoT credentials from localkvs", Args: oneArg,
		Long: "Make a certificate and a key for an IoT thing, signed by the CA in --tls-dir. A device that shows " +
			"them to a localkvs with the same\n" +
			"--tls-dir gets temporary keys at /role-aliases/ANY/credentials, as from the AWS IoT credentials provider.",
		Example: "  kvsagent localkvs device-certificate cam1 --tls-dir ./tls\n" +
			"  curl --cacert ./tls/ca.pem --cert ./tls/device-cam1.pem --key ./tls/device-cam1.key \\\n" +
			"    https://127.0.0.1:9443/role-aliases/any/credentials",
	}
	dir := c.Flags().String("tls-dir", "", "`directory` of the CA, the one that localkvs is given; made when missing")
	c.RunE = func(c *cobra.Command, args []string) error {
		if *dir == "" {
			return usageError{fmt.Errorf("device-certificate needs --tls-dir; hint: %s --help", c.CommandPath())}
		}
		cert, key, err := localkvs.DeviceCertificate(*dir, args[0])
		if err != nil {
			return err
		}
		fmt.Fprintf(c.OutOrStdout(), "certificate  %s\nkey          %s\nCA           %s\n", cert, key,
			filepath.Join(*dir, "ca.pem"))
		return nil
	}
	return c
}

// describeKVS prints where a service with the default keys is, and how to use it.
func describeKVS(w io.Writer, s *localkvs.Server) {
	describeAccess(w, s, "access key localkvs, secret localkvs")
}

func describeAccess(w io.Writer, s *localkvs.Server, keys string) {
	name := "localkvs"
	for _, at := range [][2]string{{s.URL(), keys + ", any region"}, {s.TLSURL(), "trust " + s.CAFile()}} {
		if at[0] != "" {
			fmt.Fprintf(w, "%-8s   %s   %s\n", name, at[0], at[1])
			name = ""
		}
	}
}
