package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesisvideo/types"

	"github.com/kvsagent/kvsagent/status"
)

// The clips that viewers come to, with 4 s from one key frame to the next; and a smaller one, with 1 s.
var (
	mainClip  = look{"H264", 1280, 720, 4_000_000, 4 * clipFPS}
	heavyClip = look{"H264", 1280, 720, 10_000_000, 4 * clipFPS}
	vp8Clip   = look{"VP8", 1280, 720, 4_000_000, 4 * clipFPS}
	subClip   = look{"H264", 640, 360, 450_000, clipFPS}
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

// TestFirstPicture: who comes has a picture at once, whenever that is between two key frames, and is soon as near to live as who was there
// before. Times are printed, what was seen is checked. KVSAGENT_TEST_LOADS=20 loads each page so often, and does the same with a master that keeps
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
	cameras := startLive(t, map[string]*reel{"main": clipOf(t, mainClip), "heavy": clipOf(t, heavyClip), "vp8": clipOf(t, vp8Clip)})
	service := startKVS(t)
	agent := startAgent(t, environment(keys...), service.URL, "", fmt.Sprintf(`
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
		browser *browser
	}{{"main", &chromium}, {"heavy", &chromium}, {"vp8", &firefox}} {
		codec := cameras.paths[tt.path].clip.look
		arn := agent.connected(t, "first-"+tt.path)
		agent.hasKeyFrame(t, tt.path)
		without := startPlain(t, cameras, tt.path)
		for _, cached := range caches {
			t.Run(fmt.Sprintf("%s %s cached %v", tt.browser.name, tt.path, cached), func(t *testing.T) {
				var seen []load
				for i := range loads {
					t.Run(strconv.Itoa(i), func(t *testing.T) {
						cameras.waitPhase(t, (float64(i)+0.5)/float64(loads))
						var p *page
						if cached {
							p = sdk{arn: arn, endpoint: service.URL, role: types.ChannelRoleViewer, clientID: fmt.Sprintf("v%d", i), browser: tt.browser}.join(t, "offer")
						} else {
							p = tt.browser.open(t, sdkPage(t))
							p.call(nil, "plain", without.URL)
						}
						defer p.call(nil, "leave")
						seen = append(seen, p.load(cameras))
					})
				}
				summarise(t, fmt.Sprintf("%s, %v", tt.browser.name, codec), cached, seen)
			})
		}
	}
}

// hasKeyFrame waits until the source has one that a newcomer can begin with.
func (a *agent) hasKeyFrame(t *testing.T, source string) {
	t.Helper()
	eventually(t, 10*time.Second, "a key frame of "+source, func() (bool, any) {
		r, err := a.report()
		if err != nil {
			return false, err
		}
		i := slices.IndexFunc(r.Sources, func(s status.Source) bool { return s.Name == source })
		s := r.Sources[i]
		return len(s.Tracks) > 0 && s.Tracks[0].KeyFrames > 0, s
	})
}

// waitPhase waits until so much of a group of pictures has gone by, and keeps loads apart that way: they are spread evenly over the group.
func (l *live) waitPhase(t *testing.T, share float64) {
	t.Helper()
	now := time.Since(l.begin) % gopLasts
	pause(t, (time.Duration(share*float64(gopLasts))-now+gopLasts)%gopLasts)
}

// load waits until the page has shown pictures for a while, checks them, and tells what was seen.
func (p *page) load(l *live) load {
	p.t.Helper()
	var f film
	var fresh shown
	eventually(p.t, 20*time.Second, "two seconds of pictures, and one that is live", func() (live bool, _ any) {
		f = p.presented(l, 0)
		fresh, live = f.live(p.offered(), 250*time.Millisecond)
		return live && f[len(f)-1].at.Sub(f[0].at) > watchedFor, fmt.Sprintf("%d pictures", len(f))
	})
	offered, s := p.offered(), p.stats().Video
	got := load{
		First: ms(f[0].at.Sub(offered)), Lost: s.Lost, NACKs: s.NACKs, PLIs: s.PLIs, Frozen: s.Freezes, Shown: len(f), Garbled: len(f.garbled()),
	}
	readable := f.readable()
	for _, d := range after {
		s, _ := readable.on(readable[0].at.Add(d))
		got.Behind = append(got.Behind, ms(s.age))
	}
	count, longest := f.freezes()
	got.Freezes, got.Gap = count, ms(longest)
	got.Live = ms(fresh.at.Sub(offered))
	if got.Garbled > 0 {
		p.t.Errorf("%d of %d pictures are not the camera's: %+v; the first was %+v", got.Garbled, got.Shown, f.garbled(), f[0])
	}
	if last := f[len(f)-1]; last.age > time.Second {
		p.t.Errorf("after %v the picture is %v old", watchedFor, last.age)
	}
	return got
}

// summarise prints the line of a table, and checks what must hold on any machine.
func summarise(t *testing.T, what string, cached bool, seen []load) {
	t.Helper()
	var first, live, gap figures
	behind := make([]figures, len(after))
	freezes, frozen, lost, nacks, plis := 0, 0, 0, 0, 0
	for _, l := range seen {
		first, live, gap = append(first, l.First), append(live, l.Live), append(gap, l.Gap)
		for i := range behind {
			behind[i] = append(behind[i], l.Behind[i])
		}
		freezes, frozen, lost, nacks, plis = freezes+l.Freezes, frozen+l.Frozen, lost+l.Lost, nacks+l.NACKs, plis+l.PLIs
	}
	fmt.Printf("| %s | %v | %d | %v | %v | %v | %v | %v | %v | %v | %d / %d | %d / %d | %d |\n", what, cached, len(seen), first,
		behind[0], behind[1], behind[2], behind[3], live, gap, freezes, frozen, lost, nacks, plis)
	keep(t, fmt.Sprintf("first-%s-%v.json", strings.NewReplacer(" ", "-", "/", "p", ",", "").Replace(what), cached), seen)
	slow := first.median() > ms(gopLasts)/4
	if few := len(first) < 5; few && len(first) > 0 { // one load may be the browser's bad luck; without a cache both of two wait for a second at least
		slow = slices.Min(first) > ms(gopLasts)/8
	}
	if cached && slow {
		t.Errorf("the first picture took %v ms, as if it had to wait for a key frame", first)
	}
}

// keep writes what a test has seen into the directory KVSAGENT_TEST_OUT, if that is set.
func keep(t *testing.T, name string, v any) {
	t.Helper()
	dir := os.Getenv("KVSAGENT_TEST_OUT")
	if dir == "" {
		return
	}
	data, ok := v.([]byte)
	if !ok {
		var err error
		if data, err = json.Marshal(v); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
		t.Error(err)
	}
}
