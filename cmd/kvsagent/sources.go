package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/kvsagent/kvsagent/agent"
	"github.com/kvsagent/kvsagent/config"
	"github.com/kvsagent/kvsagent/internal/redact"
	"github.com/spf13/cobra"
)

func sourcesCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "sources", Short: "Find cameras, and see what they send", Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(probeCommand(), discoverCommand())
	return c
}

func probeCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "probe URL|NAME", Short: "Watch a source and say how it will look in a browser", Args: oneArg,
		Long: "Watch a source and say what it sends and how it will look in a browser. The source is a URL as under " +
			"sources.NAME.url, or, with -c,\n" +
			"the name of one in a config file. Exit status 0 when there is something to see, 1 when not.",
		Example: "" +
			"  kvsagent sources probe rtsp://192.0.2.10/stream1 --username viewer --password-file gate.password\n" +
			"  kvsagent sources probe gate -c /etc/kvsagent/kvsagent.yaml -o json",
	}
	f := c.Flags()
	path := f.StringP("config", "c", "", "config file that names the source")
	duration := f.Duration("duration", 10*time.Second, "how long to watch, from the first picture")
	output := f.StringP("output", "o", "text", "text or json")
	level := f.String("log-level", "error", "debug, info, warn or error")
	username := f.String("username", "", "user name at the camera")
	passwordFile := f.String("password-file", "", "file that holds the password at the camera")
	transport := f.String("transport", "", "tcp, udp, multicast or http (default tcp)")
	fingerprint := f.String("fingerprint", "", "SHA-256 of the certificate of an rtsps:// camera")
	basic := f.Bool("basic-auth", false, "let the password go over the network in clear text")
	c.RunE = func(c *cobra.Command, args []string) error {
		if *output != "text" && *output != "json" {
			return usageError{fmt.Errorf("-o %s: unknown output; hint: text or json", *output)}
		}
		if *duration < time.Second || *duration > time.Hour {
			return usageError{fmt.Errorf("--duration %v; hint: 1s to 1h", *duration)}
		}
		cfg, name, err := probeConfig(*path, args[0], map[string]string{
			"username": *username, "password_file": *passwordFile, "transport": *transport, "fingerprint": *fingerprint,
		}, *basic)
		if err != nil {
			return err
		}
		log, _ := newLog(c.ErrOrStderr(), config.Log{Level: *level, Format: cfg.Log.Format}, false)
		r, err := agent.Probe(c.Context(), cfg, name, *duration, log)
		if err != nil {
			return err
		}
		out := redact.Writer(c.OutOrStdout())
		if *output == "json" {
			e := json.NewEncoder(out)
			e.SetIndent("", "  ")
			err = e.Encode(r)
		} else {
			err = printProbe(out, r)
		}
		if err == nil && r.Verdict == agent.ProbeBad {
			err = errNothingToSee
		}
		return err
	}
	return c
}

var errNothingToSee = errors.New("there is nothing to see")

// probeConfig returns the config file, or a config made from a URL and flags.
func probeConfig(path, source string, keys map[string]string, basic bool) (*config.Config, string, error) {
	if path != "" {
		cfg, err := config.Load(path)
		return cfg, source, err
	}
	text := "sources:\n  source:\n    url: " + strconv.Quote(strings.ReplaceAll(source, "$", "$$")) + "\n"
	for key, value := range keys {
		if value != "" {
			text += "    " + key + ": " + strconv.Quote(strings.ReplaceAll(value, "$", "$$")) + "\n"
		}
	}
	if basic {
		text += "    basic_auth: true\n"
	}
	text += "aws: {region: us-east-1}\nchannels:\n  channel: {source: source}\n"
	cfg, err := config.Parse("command line", []byte(text), os.LookupEnv)
	return cfg, "source", err
}

// printProbe prints a result for people.
func printProbe(w io.Writer, r agent.ProbeResult) error {
	var b strings.Builder
	if v := r.Video; v != nil {
		fmt.Fprintf(&b, "video    %s", v.Codec)
		if v.Profile != "" {
			fmt.Fprintf(&b, " (%s)", v.Profile)
		}
		if v.Width > 0 {
			fmt.Fprintf(&b, ", %dx%d", v.Width, v.Height)
		}
		if v.Frames > 1 {
			fmt.Fprintf(&b, ", %.1f fps, %.0f kbit/s", v.FPS, v.Bitrate/1000)
		}
		gop := "one only"
		if v.GOPMS > 0 {
			gop = fmt.Sprintf("every %.1f s", v.GOPMS/1000)
		}
		fmt.Fprintf(&b, "\n         key frames %s, B-frames: %s\n", gop,
			map[bool]string{true: "yes", false: "no"}[v.BFrames])
	}
	if a := r.Audio; a != nil {
		fmt.Fprintf(&b, "audio    %s, %.0f kbit/s\n", a.Codec, a.Bitrate/1000)
	}
	if c := r.Clock; c != nil {
		fmt.Fprintf(&b, "clock    jitter %.0f ms, drift %.0f ppm, %d jumps; first picture after %.0f ms\n", c.JitterMS,
			c.DriftPPM, c.Jumps, r.FirstFrameMS)
	}
	fmt.Fprintf(&b, "verdict  %s\n", r.Verdict)
	for _, f := range r.Findings {
		mark := map[string]string{"good": "+", "fair": "!", "bad": "x"}[string(f.Verdict)]
		fmt.Fprintf(&b, "  %s %s\n", mark, f.What)
		if f.Hint != "" {
			fmt.Fprintf(&b, "    hint: %s\n", f.Hint)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}
