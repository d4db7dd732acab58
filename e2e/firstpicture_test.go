package e2e

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesisvideo/types"

	"github.com/kvsagent/kvsagent/e2e/rig"
)

// The clips that viewers come to, with 4 s from one key frame to the next; and a smaller one, with 1 s.
var (
	mainClip  = rig.Look{Codec: "H264", Width: 1280, Height: 720, Bitrate: 4_000_000, GOP: 4 * rig.ReelFPS}
	heavyClip = rig.Look{Codec: "H264", Width: 1280, Height: 720, Bitrate: 10_000_000, GOP: 4 * rig.ReelFPS}
	vp8Clip   = rig.Look{Codec: "VP8", Width: 1280, Height: 720, Bitrate: 4_000_000, GOP: 4 * rig.ReelFPS}
	subClip   = rig.Look{Codec: "H264", Width: 640, Height: 360, Bitrate: 450_000, GOP: rig.ReelFPS}
)

const (
	gopLasts   = 4 * time.Second
	watchedFor = 2 * time.Second // after the first picture
)

// load is one viewer that comes: what it saw, in milliseconds after its offer.
type load struct {
	First   float64 // the first picture is presented
	Behind  []float64
	Live    float64 // the first picture that is less than 250 ms old
	Freezes int
	Gap     float64 // the longest between two pictures
	Lost    int     // packets
	NACKs   int     // packets asked for again
	PLIs    int
	Shown   int // pictures
	Garbled int
	Frozen  int // freezes that the browser counts
}

// after is when load.Behind looks how old the picture on the screen is: so long after the first.
var after = [...]time.Duration{0, 250 * time.Millisecond, 500 * time.Millisecond, time.Second}

// TestFirstPicture: who comes has a picture at once, whenever that is between two key frames, and is soon as near to
// live as who was there before. Times are printed, what was seen is checked, and how long it took by what a bare master
// takes on this machine. KVSAGENT_TEST_LOADS=20 loads each page so often, and does the same with a master that keeps
// nothing for newcomers. KVSAGENT_TEST_OUT=DIR keeps what each saw.
func TestFirstPicture(t *testing.T) {
	loads, caches := 2, []bool{true}
	if text := os.Getenv("KVSAGENT_TEST_LOADS"); text != "" {
		var err error
		if loads, err = strconv.Atoi(text); err != nil || loads < 1 {
			t.Fatalf("KVSAGENT_TEST_LOADS=%s is not a number of loads", text)
		}
		caches = []bool{true, false}
	}
	cameras := rig.StartLive(t, map[string]*rig.Reel{"main": rig.ReelOf(t, mainClip), "heavy": rig.ReelOf(t, heavyClip),
		"vp8": rig.ReelOf(t, vp8Clip)})
	service := rig.StartKVS(t)
	agent := rig.StartAgent(t, rig.Environment(rig.Keys...), service.URL, "", fmt.Sprintf(`
sources:
  main: {url: %q, keep_warm: true}
  heavy: {url: %q, keep_warm: true}
  vp8: {url: %q, keep_warm: true}
channels:
  first-main: {source: main, create: true}
  first-heavy: {source: heavy, create: true}
  first-vp8: {source: vp8, create: true}
`, cameras.URL("main"), cameras.URL("heavy"), cameras.URL("vp8")))
	for _, tt := range []struct {
		path    string
		browser *rig.Browser
	}{{"main", &rig.Chromium}, {"heavy", &rig.Chromium}, {"vp8", &rig.Firefox}} {
		codec := cameras.Paths[tt.path].Clip.Look
		arn := agent.Connected(t, "first-"+tt.path)
		agent.HasKeyFrame(t, tt.path)
		without := rig.StartPlain(t, cameras, tt.path)
		usual := plainLoad(t, tt.browser, without, cameras)
		for _, cached := range caches {
			t.Run(fmt.Sprintf("%s %s cached %v", tt.browser.Name, tt.path, cached), func(t *testing.T) {
				var seen []load
				for i := range loads {
					t.Run(strconv.Itoa(i), func(t *testing.T) {
						waitPhase(t, cameras, (float64(i)+0.5)/float64(loads))
						var p *rig.Page
						if cached {
							p = rig.SDK{ARN: arn, Endpoint: service.URL, Role: types.ChannelRoleViewer,
								ClientID: fmt.Sprintf("v%d", i), Browser: tt.browser}.Join(t, "offer")
						} else {
							p = tt.browser.Open(t, rig.SdkPage(t))
							p.Call(nil, "plain", without.URL)
						}
						defer p.Call(nil, "leave")
						seen = append(seen, watchLoad(t, p, cameras, usual))
					})
				}
				summarise(t, fmt.Sprintf("%s, %v", tt.browser.Name, codec), cached, seen, usual)
			})
		}
	}
}

// waitPhase waits until so much of a group of pictures has gone by, and keeps loads apart that way: they are spread
// evenly over the group.
func waitPhase(t *testing.T, l *rig.LiveCamera, share float64) {
	t.Helper()
	now := time.Since(l.Begin) % gopLasts
	rig.Pause(t, (time.Duration(share*float64(gopLasts))-now+gopLasts)%gopLasts)
}

// plainLoad is the control: how long, on this machine and now, a connection to a bare Pion master takes, and then a key
// frame from the camera to the screen.
func plainLoad(t *testing.T, b *rig.Browser, without *rig.Plain, l *rig.LiveCamera) time.Duration {
	t.Helper()
	p := b.Open(t, rig.SdkPage(t))
	defer p.Call(nil, "leave")
	p.Call(nil, "plain", without.URL)
	var first rig.Film
	rig.Eventually(t, 20*time.Second, "a picture of the bare master", func() (bool, any) {
		first = p.Presented(l, 0).Readable()
		return len(first) > 0, "none"
	})
	joined := p.Connected().Sub(p.Offered())
	t.Logf("%s, bare: connected after %v, the first picture is %v old", b.Name, joined, first[0].Age)
	return joined + first[0].Age
}

// watchLoad waits until the page has shown pictures for a while, checks them, and tells what was seen.
func watchLoad(t *testing.T, p *rig.Page, l *rig.LiveCamera, usual time.Duration) load {
	t.Helper()
	var f rig.Film
	var fresh rig.Shown
	rig.Eventually(t, 20*time.Second, "two seconds of pictures, and one that is live", func() (live bool, _ any) {
		f = p.Presented(l, 0)
		fresh, live = f.Live(p.Offered(), 250*time.Millisecond)
		return live && f[len(f)-1].At.Sub(f[0].At) > watchedFor, fmt.Sprintf("%d pictures", len(f))
	})
	offered, s := p.Offered(), p.Stats().Video
	got := load{
		First: rig.Millis(f[0].At.Sub(offered)), Lost: s.Lost, NACKs: s.NACKs, PLIs: s.PLIs, Frozen: s.Freezes,
		Shown: len(f), Garbled: len(f.Garbled()),
	}
	readable := f.Readable()
	for _, d := range after {
		s, _ := readable.On(readable[0].At.Add(d))
		got.Behind = append(got.Behind, rig.Millis(s.Age))
	}
	count, longest := f.Freezes()
	got.Freezes, got.Gap = count, rig.Millis(longest)
	got.Live = rig.Millis(fresh.At.Sub(offered))
	if got.Garbled > 0 {
		t.Errorf("%d of %d pictures are not the camera's: %+v; the first was %+v", got.Garbled, got.Shown,
			f.Garbled(), f[0])
	}
	if last, most := f[len(f)-1], max(time.Second, 4*usual); last.Age > most {
		t.Errorf("after %v the picture is %v old, want %v at most", watchedFor, last.Age, most)
	}
	return got
}

// summarise prints the line of a table, and checks what must hold on any machine; usual is that of plainLoad.
func summarise(t *testing.T, what string, cached bool, seen []load, usual time.Duration) {
	t.Helper()
	var first, live, gap rig.Figures
	behind := make([]rig.Figures, len(after))
	freezes, frozen, lost, nacks, plis := 0, 0, 0, 0, 0
	for _, l := range seen {
		first, live, gap = append(first, l.First), append(live, l.Live), append(gap, l.Gap)
		for i := range behind {
			behind[i] = append(behind[i], l.Behind[i])
		}
		freezes, frozen, lost, nacks, plis = freezes+l.Freezes, frozen+l.Frozen, lost+l.Lost, nacks+l.NACKs, plis+l.PLIs
	}
	fmt.Printf("| %s | %v | %d | %v | %v | %v | %v | %v | %v | %v | %d / %d | %d / %d | %d |\n", what, cached,
		len(seen), first,
		behind[0], behind[1], behind[2], behind[3], live, gap, freezes, frozen, lost, nacks, plis)
	rig.Keep(t, fmt.Sprintf("first-%s-%v.json", strings.NewReplacer(" ", "-", "/", "p", ",", "").Replace(what), cached),
		seen)
	if !cached || len(first) == 0 {
		return
	}
	// Without a cache the wait is half a group in the middle, and of few loads each waits for a second at least.
	most, least := max(gopLasts/4, 4*usual), max(gopLasts/8, 4*usual)
	if first.Median() > rig.Millis(most) || len(first) < 5 && slices.Min(first) > rig.Millis(least) {
		t.Errorf("the first picture took %v ms, as if it had to wait for a key frame; a bare master takes %v",
			first, usual)
	}
}
