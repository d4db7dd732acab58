package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/kinesisvideo"
	"github.com/aws/aws-sdk-go-v2/service/kinesisvideo/types"
	"github.com/kvsagent/kvsagent/bench/load"
)

// BrowserOptions says which browsers join which agents. The zero value lets Firefox join the agent of this tree ten
// times.
type BrowserOptions struct {
	Browser  string        // Chromium or Firefox; default is Firefox
	Codec    string        // VP8 or H264; default is VP8, which all browsers have
	Joins    int           // of each binary; default 10
	Binaries []string      // kvsagent, or several that take turns; default is one built from the tree
	Progress func(string)  // is told what goes on; may be nil
	Each     func(Arrival) // is told of each join; may be nil
}

// Arrival is one join by a browser.
type Arrival struct {
	Variant int     // which binary
	First   float64 // the first picture is presented, in milliseconds after the offer
	Lost    int     // packets, as the browser counts them: not those before the first that it saw
	NACKs   int     // packets asked for again
	PLIs    int
	Load    float64 // load average
}

// Arrivals are all joins of one binary.
type Arrivals struct {
	Binary string
	Joins  []Arrival
}

func (o *BrowserOptions) check() error {
	setDefault(&o.Browser, Firefox)
	setDefault(&o.Codec, "VP8")
	setDefault(&o.Joins, 10)
	if o.Progress == nil {
		o.Progress = func(string) {}
	}
	if o.Each == nil {
		o.Each = func(Arrival) {}
	}
	switch {
	case o.Browser != Firefox && o.Browser != Chromium:
		return fmt.Errorf("browser %q; hint: %s or %s", o.Browser, Firefox, Chromium)
	case o.Codec != "VP8" && o.Codec != "H264":
		return fmt.Errorf("codec %q; hint: VP8 or H264", o.Codec)
	case o.Joins < 1 || o.Joins > mostJoins:
		return fmt.Errorf("%d joins; hint: 1 to %d", o.Joins, mostJoins)
	}
	return nil
}

// MeasureBrowser lets pages of a real browser with the official SDK join one after another, at random moments between
// two key frames, and tells how long each waits for its first picture. Several binaries take turns, so that what else
// the machine does falls on all.
func MeasureBrowser(ctx context.Context, o BrowserOptions) ([]Arrivals, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	h := &harness{clientCore: -1, serverCore: -1}
	var err error
	if h.workshop, err = newWorkshop(ctx); err != nil {
		return nil, err
	}
	source, err := h.browserSource(ctx, o.Codec)
	if err != nil {
		return nil, err
	}
	if len(o.Binaries) == 0 {
		o.Progress("building")
		path, err := h.workshop.build(ctx, "cmd/kvsagent")
		if err != nil {
			return nil, err
		}
		o.Binaries = []string{path}
	}
	b, err := startBrowser(h.workshop.root, o.Browser)
	if err != nil {
		return nil, err
	}
	defer b.stop()
	pages := sdkPages(h.workshop.root)
	defer pages.Close()
	var out []Arrivals
	var rooms []*browserRoom
	for _, binary := range o.Binaries {
		r, err := h.openRoom(ctx, binary, source)
		if err != nil {
			return nil, err
		}
		defer r.server.stop()
		r.browser, r.page = b, pages.URL+"/sdk.html"
		rooms, out = append(rooms, r), append(out, Arrivals{Binary: binary})
		if _, err := r.join(ctx, "first"); err != nil { // pays for what all share
			return nil, err
		}
	}
	for n := range o.Joins {
		for i, r := range rooms {
			if err := load.Sleep(ctx, rand.N(gop)); err != nil {
				return out, err
			}
			a, err := r.join(ctx, fmt.Sprint("v", n))
			if err != nil {
				return out, fmt.Errorf("join %d of %s: %w\n%s", n, r.binary, err, r.server.complaints())
			}
			a.Variant = i
			out[i].Joins = append(out[i].Joins, a)
			o.Each(a)
		}
	}
	return out, nil
}

// browserRoom is a binary on a channel of its own service.
type browserRoom struct {
	binary, arn, endpoint string
	server                *server
	browser               *browser
	page                  string
}

// openRoom starts a binary with a source.
func (h *harness) openRoom(ctx context.Context, binary, source string) (*browserRoom, error) {
	h.agent = binary
	s, err := h.startAgentWith(ctx, source, 10)
	if err != nil {
		return nil, err
	}
	r := &browserRoom{binary: binary, server: s}
	if r.arn, r.endpoint, err = viewerEndpoint(ctx, s.signaling.(load.KVS)); err != nil {
		s.stop()
		return nil, err
	}
	return r, nil
}

// viewerEndpoint finds a channel, as a page's server does for it.
func viewerEndpoint(ctx context.Context, k load.KVS) (arn, endpoint string, err error) {
	control := kinesisvideo.New(kinesisvideo.Options{
		BaseEndpoint: &k.Endpoint, Region: "us-west-2",
		Credentials: credentials.NewStaticCredentialsProvider("localkvs", "localkvs", ""),
	})
	channel, err := control.DescribeSignalingChannel(ctx,
		&kinesisvideo.DescribeSignalingChannelInput{ChannelName: &k.Channel})
	if err != nil {
		return "", "", err
	}
	arn = aws.ToString(channel.ChannelInfo.ChannelARN)
	out, err := control.GetSignalingChannelEndpoint(ctx, &kinesisvideo.GetSignalingChannelEndpointInput{
		ChannelARN: &arn,
		SingleMasterChannelEndpointConfiguration: &types.SingleMasterChannelEndpointConfiguration{
			Protocols: []types.ChannelProtocol{types.ChannelProtocolWss}, Role: types.ChannelRoleViewer,
		},
	})
	if err != nil {
		return "", "", err
	}
	if len(out.ResourceEndpointList) != 1 {
		return "", "", fmt.Errorf("%d endpoints of %s, want 1", len(out.ResourceEndpointList), arn)
	}
	return arn, aws.ToString(out.ResourceEndpointList[0].ResourceEndpoint), nil
}

// arrivesWithin is how long a page waits for its first picture, and watches how much longer.
const (
	arrivesWithin = time.Minute
	arrivesWatch  = 300 * time.Millisecond
)

// join lets one page join and leave.
func (r *browserRoom) join(ctx context.Context, client string) (a Arrival, err error) {
	ctx, cancel := context.WithTimeout(ctx, arrivesWithin)
	defer cancel()
	opened, err := r.browser.do(ctx, browserCommand{Open: r.page})
	if err != nil {
		return a, err
	}
	page := opened.Page
	defer func() {
		over := context.WithoutCancel(ctx)
		closed, closeErr := r.browser.do(over, browserCommand{Page: page, Close: true})
		if err != nil {
			err = fmt.Errorf("%w\nconsole: %s", err, closed.Value)
		}
		err = errors.Join(err, closeErr)
	}()
	if err := r.browser.call(ctx, page, nil, "offer", map[string]any{
		"channelARN": r.arn, "channelEndpoint": r.endpoint, "role": "VIEWER", "region": "us-west-2", "clientId": client,
	}); err != nil {
		return a, err
	}
	var shown [][]float64
	for len(shown) == 0 {
		if err := load.Sleep(ctx, 100*time.Millisecond); err != nil {
			return a, fmt.Errorf("no picture: %w", err)
		}
		if err := r.browser.call(ctx, page, &shown, "presented", 0); err != nil {
			return a, err
		}
	}
	a.Load = loadAverage()
	if err := load.Sleep(ctx, arrivesWatch); err != nil {
		return a, err
	}
	var seen struct {
		Video struct{ Lost, NACKs, PLIs int }
	}
	var offered float64
	if err := errors.Join(r.browser.call(ctx, page, &seen, "stats"), r.browser.call(ctx, page, &offered, "offered"),
		r.browser.call(ctx, page, nil, "leave")); err != nil {
		return a, err
	}
	a.First, a.Lost, a.NACKs, a.PLIs = shown[0][0]-offered, seen.Video.Lost, seen.Video.NACKs, seen.Video.PLIs
	return a, nil
}

// sdkPages serves the page with the official SDK on loopback, where a browser allows the cryptography that signing
// needs.
func sdkPages(root string) *httptest.Server {
	dir := filepath.Join(root, "e2e", "browser")
	mux := http.NewServeMux()
	mux.Handle("/", http.FileServer(http.Dir(dir)))
	mux.HandleFunc("/kvs-webrtc.js", func(w http.ResponseWriter, r *http.Request) {
		http.ServeFile(w, r,
			filepath.Join(dir, "node_modules/amazon-kinesis-video-streams-webrtc/dist/kvs-webrtc.min.js"))
	})
	return httptest.NewServer(mux)
}

// browserSource is a source in YAML: 720p, 4 Mbit/s and a key frame each 4 s, as the e2e tests have them.
func (h *harness) browserSource(ctx context.Context, codec string) (string, error) {
	name, encoder := "720p25-4M-gop4s.ivf", []string{
		"-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8", "-lag-in-frames", "0", "-auto-alt-ref", "0",
		"-f", "ivf",
	}
	if codec == "H264" {
		name, encoder = "720p25-4M-gop4s.mp4", []string{
			"-c:v", "libx264", "-preset", "ultrafast", "-profile:v", "baseline", "-pix_fmt", "yuv420p", "-sc_threshold",
			"0", "-movflags", "+faststart", "-f", "mp4",
		}
	}
	to := filepath.Join(h.workshop.dir, name)
	if _, err := os.Stat(to); err != nil {
		args := append([]string{"-nostdin", "-v", "error", "-y", "-f", "lavfi", "-i",
			"testsrc2=s=1280x720:r=25,noise=alls=12:allf=t", "-t", "20",
			"-b:v", "4M", "-maxrate", "4M", "-bufsize", "2M", "-g", "100", "-keyint_min", "100"}, encoder...)
		if out, err := exec.CommandContext(ctx, "ffmpeg", append(args, to+".part")...).CombinedOutput(); err != nil {
			return "", fmt.Errorf("make the clip: %w\n%s; hint: ffmpeg with libx264 and libvpx must be installed",
				err, out)
		}
		if err := os.Rename(to+".part", to); err != nil {
			return "", err
		}
	}
	if codec == "H264" {
		return fmt.Sprintf("{url: %q, keep_warm: true}", "file:"+to), nil
	}
	return fmt.Sprintf("{url: %q, keep_warm: true}",
		"exec:ffmpeg -nostdin -v error -re -stream_loop -1 -i "+to+" -c copy -f ivf -"), nil
}

// WriteArrivals writes a table of joins for people, in Markdown.
func WriteArrivals(w io.Writer, o BrowserOptions, all []Arrivals) error {
	var b strings.Builder
	b.WriteString("| browser, codec | binary | joins | p50 ms | p95 ms | max ms | over 100 ms | over 250 ms | PLIs | " +
		"NACKs | lost | load average |\n|---|---|---|---|---|---|---|---|---|---|---|---|\n")
	for _, s := range all {
		var first []float64
		var late, later, plis, nacks, lost int
		var load float64
		for _, a := range s.Joins {
			first = append(first, a.First)
			if a.First > 100 {
				late++
			}
			if a.First > 250 {
				later++
			}
			plis, nacks, lost, load = plis+a.PLIs, nacks+a.NACKs, lost+a.Lost, load+a.Load/float64(len(s.Joins))
		}
		slices.Sort(first)
		at := func(q float64) float64 {
			if len(first) == 0 {
				return 0
			}
			return first[min(len(first)-1, int(q*float64(len(first))))]
		}
		fmt.Fprintf(&b, "| %s, %s | %s | %d | %.0f | %.0f | %.0f | %d | %d | %d | %d | %d | %.1f |\n", o.Browser,
			o.Codec, filepath.Base(s.Binary), len(first),
			at(0.5), at(0.95), at(1), late, later, plis, nacks, lost, load)
	}
	_, err := io.WriteString(w, b.String())
	return err
}
