package agent

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/kvsagent/kvsagent/internal/redact"
	"github.com/kvsagent/kvsagent/media/onvif"
)

// DiscoverOptions says where to look for cameras.
type DiscoverOptions struct {
	Interface          string         // "" means all
	Target             netip.AddrPort // a single camera to ask; zero asks all by multicast
	Wait               time.Duration  // how long to wait for answers; default 3 s
	Username, Password string         // login at the cameras; default none
}

// Camera is a camera that answered.
type Camera struct {
	Name    string         `json:"name"` // usable as a key under sources
	Title   string         `json:"title,omitempty"`
	Model   string         `json:"model,omitempty"`
	Host    string         `json:"host"`
	Address string         `json:"address"` // of its ONVIF service
	Streams []CameraStream `json:"streams"` // best for browsers first
	Error   string         `json:"error,omitempty"`
}

// CameraStream is one stream of a camera.
type CameraStream struct {
	Profile string `json:"profile"`
	Codec   string `json:"codec"`
	Width   int    `json:"width"`
	Height  int    `json:"height"`
	FPS     int    `json:"fps"`
	Audio   string `json:"audio,omitempty"`
	URL     string `json:"url"`
}

// Discover finds the ONVIF cameras on the local network and asks each for its streams, with the same login.
func Discover(ctx context.Context, o DiscoverOptions) ([]Camera, error) {
	redact.Know(o.Password)
	devices, err := onvif.Discover(ctx, onvif.Options{Interface: o.Interface, Target: o.Target, Wait: o.Wait})
	if err != nil {
		return nil, err
	}
	cameras := make([]Camera, len(devices))
	limit := make(chan struct{}, 8)
	var wg sync.WaitGroup
	for i, d := range devices {
		limit <- struct{}{}
		wg.Go(func() {
			cameras[i] = askCamera(ctx, d, onvif.Login{Username: o.Username, Password: o.Password})
			<-limit
		})
	}
	wg.Wait()
	nameCameras(cameras)
	return cameras, nil
}

func askCamera(ctx context.Context, d onvif.Device, login onvif.Login) Camera {
	c := Camera{Title: d.Name, Model: d.Model, Host: d.Host, Address: d.Address, Streams: []CameraStream{}}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	profiles, err := onvif.Profiles(ctx, d.Address, login)
	if err != nil {
		c.Error = text(err)
		return c
	}
	for _, p := range profiles {
		c.Streams = append(c.Streams, CameraStream{
			Profile: p.Name, Codec: p.Codec, Width: p.Width, Height: p.Height, FPS: p.FPS, Audio: p.Audio, URL: p.URI,
		})
	}
	slices.SortStableFunc(c.Streams, func(a, b CameraStream) int { return suits(b) - suits(a) })
	return c
}

// suits rates how well a stream suits browsers: H.264 first, then up to 1080 lines, then the larger size.
func suits(s CameraStream) int {
	n := min(s.Height, 1<<14)
	if s.Codec == "H264" {
		n += 1 << 20
	}
	if s.Height <= 1080 {
		n += 1 << 16
	}
	return n
}

// nameCameras gives each camera a unique name, made from its title or model.
func nameCameras(cameras []Camera) {
	taken := map[string]bool{}
	for i := range cameras {
		c := &cameras[i]
		base := "camera"
		for _, text := range []string{c.Title, c.Model} {
			if word := slug(text); word != "" {
				base = word
				break
			}
		}
		c.Name = base
		if taken[c.Name] {
			c.Name = base + "-" + slug(c.Host[strings.LastIndexAny(c.Host, ".:")+1:])
		}
		for taken[c.Name] {
			c.Name += "x"
		}
		taken[c.Name] = true
	}
}

// slug returns text in lower case, with a hyphen for each run of characters that are neither letter nor digit.
func slug(text string) string {
	words := strings.FieldsFunc(strings.ToLower(text),
		func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') })
	s := strings.Join(words, "-")
	return strings.Trim(s[:min(len(s), 40)], "-")
}
