package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"

	"github.com/kvsagent/kvsagent/agent"
	"github.com/kvsagent/kvsagent/config"
	"github.com/spf13/cobra"
)

func viewCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "view CHANNEL", Short: "Watch a channel as a viewer, count what comes, and record it", Args: oneArg,
		Long: "Join CHANNEL as a viewer and show what comes. CHANNEL is a key in the config file given with -c, or " +
			"the name of a KVS channel,\n" +
			"which is looked for with --endpoint, --region and the AWS environment. Exit status 0 when a picture " +
			"came, 1 when none did.",
		Example: "  kvsagent view front-gate -c kvsagent.yaml --duration 10s --record gate.mp4\n" +
			"  kvsagent view demo --endpoint http://127.0.0.1:9790 -o json --duration 5s",
	}
	f := c.Flags()
	path := f.StringP("config", "c", "", "config file (default: only flags and environment)")
	endpoint := f.String("endpoint", "", "control plane URL, http or https (default: AWS)")
	region := f.String("region", "", "AWS region (default: AWS_REGION)")
	ca := f.String("ca-file", "", "PEM file with the CA of the endpoint (default: the system's)")
	output := f.StringP("output", "o", "text", "text or json")
	level := f.String("log-level", "warn", "debug, info, warn or error")
	var o agent.ViewOptions
	f.DurationVar(&o.Duration, "duration", 0, "how long to watch, from the first picture (default: until Ctrl-C)")
	f.StringVar(&o.Record, "record", "", "MP4 file to record to (H.264 and Opus)")
	f.StringVar(&o.ClientID, "client-id", "", "our client id (default: a new one)")
	f.BoolVar(&o.WaitForOffer, "wait-for-offer", false, "let the master offer (its offer_to must name --client-id)")
	c.RunE = func(c *cobra.Command, args []string) error {
		o.Channel = args[0]
		if *output != "text" && *output != "json" {
			return usageError{fmt.Errorf("-o %s: unknown output; hint: text or json", *output)}
		}
		cfg, err := viewConfig(*path, o.Channel, *endpoint, *region, *ca)
		if err != nil {
			return err
		}
		o.Log, _ = newLog(c.ErrOrStderr(), config.Log{Level: *level, Format: cfg.Log.Format}, false)
		if *output == "text" {
			o.Progress = func(v agent.View) { progress(c.ErrOrStderr(), v) }
		}
		v, err := agent.RunView(c.Context(), cfg, o)
		if *output == "json" {
			e := json.NewEncoder(c.OutOrStdout())
			return firstError(e.Encode(v), err)
		}
		fmt.Fprintln(c.ErrOrStderr())
		_, printed := fmt.Fprintln(c.OutOrStdout(), line(v))
		return firstError(printed, err)
	}
	return c
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// viewConfig returns the config file, or a config made from flags.
func viewConfig(path, channel, endpoint, region, ca string) (*config.Config, error) {
	if path != "" {
		cfg, err := config.Load(path)
		if err != nil {
			return nil, err
		}
		if endpoint != "" {
			cfg.AWS.Endpoint = endpoint
		}
		if region != "" {
			cfg.AWS.Region = region
		}
		if ca != "" {
			cfg.AWS.CAFile = ca
		}
		return cfg, nil
	}
	text := "aws:\n"
	for _, kv := range [][2]string{{"endpoint", endpoint}, {"region", region}, {"ca_file", ca}} {
		if kv[1] != "" {
			text += "  " + kv[0] + ": " + strconv.Quote(kv[1]) + "\n"
		}
	}
	text += "channels:\n  " + strconv.Quote(channel) + ": {role: viewer}\n"
	return config.Parse("command line", []byte(text), os.LookupEnv)
}

// progress rewrites one line on a terminal. Elsewhere it writes nothing, and only the last line is printed, on standard
// output.
func progress(w io.Writer, v agent.View) {
	f, ok := w.(*os.File)
	if !ok {
		return
	}
	if info, err := f.Stat(); err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return
	}
	fmt.Fprintf(f, "\r\033[K%s", line(v))
}

// line formats a view on one line.
func line(v agent.View) string {
	text := v.State
	if v.Path != "" {
		text += " (" + v.Path + ")"
	}
	if v.FirstFrameMS > 0 {
		text += fmt.Sprintf(", first picture after %.0f ms", v.FirstFrameMS)
	}
	if p := v.Video; p != nil {
		text += fmt.Sprintf(", %s %dx%d, %.1f fps, %.0f kbit/s, %d frames, %d of %d packets lost",
			p.Codec, p.Width, p.Height, p.FPS, p.Bitrate/1000, p.Frames, p.Lost, p.Packets+p.Lost)
	}
	if a := v.Audio; a != nil {
		text += fmt.Sprintf(", %s %d packets", a.Codec, a.Packets)
	}
	if v.Error != "" {
		text += ": " + v.Error
	}
	return text
}
