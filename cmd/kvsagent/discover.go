package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/kvsagent/kvsagent/agent"
	"github.com/spf13/cobra"
)

func discoverCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "discover", Short: "Find ONVIF cameras on the local network and print them as config", Args: noArgs,
		Long: "Ask the local network for ONVIF cameras (WS-Discovery), ask each for its streams, and print YAML for " +
			"the sources section of the\n" +
			"config. Most cameras list their streams only after a login. Only the probe is sent until a camera " +
			"has answered, and the password\n" +
			"is sent as a digest. Exit status 1 when no camera answers.",
		Example: "  kvsagent sources discover --interface eth0 --username viewer --password-file cameras.password",
	}
	f := c.Flags()
	name := f.String("interface", "", "network interface to ask on (default: all)")
	target := f.String("target", "", "ADDRESS:PORT of one camera to ask, such as 192.0.2.10:3702 (default: everybody)")
	wait := f.Duration("wait", 3*time.Second, "how long to wait for answers")
	username := f.String("username", "", "user name at the cameras")
	passwordFile := f.String("password-file", "", "file that holds the password at the cameras")
	output := f.StringP("output", "o", "yaml", "yaml or json")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if *output != "yaml" && *output != "json" {
			return usageError{fmt.Errorf("-o %s: unknown output; hint: yaml or json", *output)}
		}
		o := agent.DiscoverOptions{Interface: *name, Wait: *wait, Username: *username}
		if *target != "" {
			var err error
			if o.Target, err = netip.ParseAddrPort(*target); err != nil {
				return usageError{fmt.Errorf("--target %q; hint: 192.0.2.10:3702", *target)}
			}
		}
		if *passwordFile != "" {
			password, err := os.ReadFile(*passwordFile)
			if err != nil {
				return err
			}
			o.Password = strings.TrimRight(string(password), "\r\n")
		}
		cameras, err := agent.Discover(c.Context(), o)
		if err != nil {
			return err
		}
		if *output == "json" {
			e := json.NewEncoder(c.OutOrStdout())
			e.SetIndent("", "  ")
			err = e.Encode(cameras)
		} else {
			err = printCameras(c.OutOrStdout(), cameras, *username, *passwordFile)
		}
		if err == nil && len(cameras) == 0 {
			err = errors.New("no camera answered; hint: is ONVIF switched on, is this host in the cameras' network, " +
				"and does a firewall let UDP port 3702 through?")
		}
		return err
	}
	return c
}

// printCameras prints the entries for sources: in a config.
func printCameras(w io.Writer, cameras []agent.Camera, username, passwordFile string) error {
	var b strings.Builder
	if len(cameras) > 0 {
		b.WriteString("sources:\n")
	}
	for _, c := range cameras {
		fmt.Fprintf(&b, "  # %s\n", strings.Join(strings.Fields(c.Title+" "+c.Model+" at "+c.Host), " "))
		if len(c.Streams) == 0 {
			fmt.Fprintf(&b, "  # %s\n  #%s: {url: \"rtsp://%s/...\"}\n", c.Error, c.Name, hostPort(c.Host))
			continue
		}
		fmt.Fprintf(&b, "  %s:\n    url: %s  # %s\n", c.Name, strconv.Quote(c.Streams[0].URL),
			describeStream(c.Streams[0]))
		for _, s := range c.Streams[1:] {
			fmt.Fprintf(&b, "    #url: %s  # %s\n", strconv.Quote(s.URL), describeStream(s))
		}
		if c.Address != "" {
			fmt.Fprintf(&b, "    onvif: %s  # asked for a key frame when a viewer needs one\n",
				strconv.Quote(c.Address))
		}
		if username != "" {
			fmt.Fprintf(&b, "    username: %s\n", strconv.Quote(username))
		}
		if passwordFile != "" {
			fmt.Fprintf(&b, "    password_file: %s\n", strconv.Quote(passwordFile))
		}
		if a := c.Streams[0].Audio; a != "" && a != "G711" {
			fmt.Fprintf(&b, "    audio: transcode  # %s; needs ffmpeg\n", a)
		}
	}
	_, err := io.WriteString(w, strings.ReplaceAll(b.String(), "$", "$$"))
	return err
}

func hostPort(host string) string {
	if strings.Contains(host, ":") {
		return "[" + host + "]"
	}
	return host
}

func describeStream(s agent.CameraStream) string {
	text := s.Profile + ": " + s.Codec
	if s.Width > 0 {
		text += fmt.Sprintf(" %dx%d", s.Width, s.Height)
	}
	if s.FPS > 0 {
		text += fmt.Sprintf(", %d fps", s.FPS)
	}
	if s.Audio != "" {
		text += ", sound in " + s.Audio
	}
	return text
}
