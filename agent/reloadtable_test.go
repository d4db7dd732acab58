package agent_test

import (
	"encoding/pem"
	"fmt"
	"maps"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kvsagent/kvsagent/config"
)

// disturbs reads docs/reload.md: what a change of each key disturbs.
func disturbs(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile("../docs/reload.md")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	rows := regexp.MustCompile("(?m)^\\| `([^`]+)`[^|]* \\| ([^|]+) \\|$")
	for _, m := range rows.FindAllStringSubmatch(string(text), -1) {
		out[m[1]] = m[2]
	}
	return out
}

// keys lists the keys of a struct of the config, with a dot between levels and a * for a name of the operator's.
func keys(t reflect.Type, at string) (out []string) {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if t.Kind() == reflect.Map && t.Elem().Kind() == reflect.Struct {
		return keys(t.Elem(), at+".*")
	}
	if t.Kind() != reflect.Struct || t == reflect.TypeFor[netip.Addr]() || t == reflect.TypeFor[netip.Prefix]() {
		return []string{at}
	}
	for _, f := range reflect.VisibleFields(t) {
		if !f.IsExported() { // not the operator's
			continue
		}
		name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		out = append(out, keys(f.Type, strings.TrimPrefix(at+"."+name, "."))...)
	}
	return out
}

// row is the row of the table for a key: its own, or that of a level above it.
func row(table map[string]string, key string) string {
	for at := key; at != ""; {
		if what, ok := table[at]; ok {
			return what
		}
		if what, ok := table[at+".*"]; ok {
			return what
		}
		i := strings.LastIndex(at, ".")
		if i < 0 {
			return ""
		}
		at = at[:i]
	}
	return ""
}

// TestEachKeyHasARow: a key that is new has its row in docs/reload.md.
func TestEachKeyHasARow(t *testing.T) {
	table, n := disturbs(t), 0
	for _, key := range keys(reflect.TypeFor[config.Config](), "") {
		n++
		if row(table, key) == "" {
			t.Errorf("docs/reload.md does not say what a change of %s disturbs", key)
		}
	}
	if n < 80 || len(table) < 30 {
		t.Errorf("%d keys, %d rows", n, len(table))
	}
}

// A change of each key that may not cost its viewers a picture, in the channel gate or beside it.
func changes(t *testing.T) map[string]func(*config.Config) {
	t.Helper()
	dir := t.TempDir()
	gate := func(f func(*config.Channel)) func(*config.Config) {
		return func(c *config.Config) {
			ch := c.Channels["gate"]
			f(&ch)
			c.Channels["gate"] = ch
		}
	}
	yard := func(f func(*config.Source)) func(*config.Config) {
		return func(c *config.Config) {
			s := c.Sources["yard"]
			f(&s)
			c.Sources["yard"] = s
		}
	}
	ca := filepath.Join(dir, "ca.pem")
	if err := os.WriteFile(ca, certificate(t), 0o600); err != nil {
		t.Fatal(err)
	}
	var all = map[string]func(*config.Config){
		"aws.endpoint": func(c *config.Config) {
			c.AWS.Endpoint = strings.Replace(c.AWS.Endpoint, "127.0.0.1", "localhost", 1)
		},
		"aws.region":      func(c *config.Config) { c.AWS.Region = "eu-central-1" },
		"aws.ca_file":     func(c *config.Config) { c.AWS.CAFile = ca },
		"aws.dual_stack":  func(c *config.Config) { c.AWS.DualStack = true },
		"aws.fips":        func(c *config.Config) { c.AWS.FIPS = true },
		"aws.spread":      func(c *config.Config) { c.AWS.Spread = time.Second },
		"aws.hearing":     func(c *config.Config) { c.AWS.Hearing = time.Minute },
		"aws.credentials": func(c *config.Config) { c.AWS.Credentials.SecretAccessKey = "another" },

		"sources: beside": yard(func(s *config.Source) { s.URL = "testpattern:?size=320x180&rate=10" }),
		"sources: gone":   func(c *config.Config) { delete(c.Channels, "yard"); delete(c.Sources, "yard") },

		"channels.*.channel_name": gate(func(c *config.Channel) { c.ChannelName = "gate-2" }),
		"channels.*.create":       gate(func(c *config.Channel) { c.Create = false }),
		"channels.*.message_ttl":  gate(func(c *config.Channel) { c.MessageTTL = 30 * time.Second }),
		"channels.*.tags":         gate(func(c *config.Channel) { c.Tags = map[string]string{"site": "yard"} }),
		"channels.*.storage":      gate(func(c *config.Channel) { c.Storage = config.StorageOff }),
		"channels.*.client_id":    gate(func(c *config.Channel) { c.ClientID = "us" }),
		"channels.*.offer_to":     gate(func(c *config.Channel) { c.OfferTo = []string{"nobody"} }),
		"channels.*.max_viewers":  gate(func(c *config.Channel) { c.MaxViewers = 6 }),

		"webrtc.ice_servers": func(c *config.Config) {
			c.WebRTC.ICEServers = []config.ICEServer{{URLs: []string{"stun:127.0.0.1:9"}}}
		},
		"webrtc.kvs_turn":             func(c *config.Config) { c.WebRTC.KVSTURN = false },
		"webrtc.ice_transport_policy": func(c *config.Config) { c.WebRTC.ICETransportPolicy = "no-host" },
		"webrtc.udp_port":             func(c *config.Config) { c.WebRTC.UDPPort = freePort(t) },
		"webrtc.nat_1to1": func(c *config.Config) {
			c.WebRTC.NAT1To1 = []netip.Addr{netip.MustParseAddr("198.51.100.7")}
		},
		"webrtc.tcp_port":   func(c *config.Config) { c.WebRTC.TCPPort = freePort(t) },
		"webrtc.interfaces": func(c *config.Config) { c.WebRTC.Interfaces = []string{"eth*"} },
		"webrtc.addresses": func(c *config.Config) {
			c.WebRTC.Addresses = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
		},
		"webrtc.ip":     func(c *config.Config) { c.WebRTC.IP = "ipv4" },
		"webrtc.remote": func(c *config.Config) { c.WebRTC.Remote = "public" },
		"webrtc.mdns":   func(c *config.Config) { c.WebRTC.MDNS = true },
		"webrtc.proxy":  func(c *config.Config) { c.WebRTC.Proxy = "http://127.0.0.1:9" },

		"webrtc.proxy_file": func(c *config.Config) {
			c.WebRTC.Proxy, c.WebRTC.ProxyFile = "http://127.0.0.1:9", filepath.Join(dir, "proxy")
		},

		"status.hosts": func(c *config.Config) { c.Status.Hosts = []string{"gate.example.org"} },
		"log.level":    func(c *config.Config) { c.Log.Level = "debug" },
	}
	// Of limits each number, one after the other.
	var numbers func(v reflect.Value, path []int, name string)
	numbers = func(v reflect.Value, path []int, name string) {
		for i := range v.NumField() {
			at := append(append([]int{}, path...), i)
			tag, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("yaml"), ",")
			if v.Field(i).Kind() == reflect.Struct {
				numbers(v.Field(i), at, name+"."+tag)
				continue
			}
			all[name+"."+tag] = func(c *config.Config) {
				f := reflect.ValueOf(&c.Limits).Elem().FieldByIndex(at)
				f.SetInt(f.Int() + f.Int()/10 + int64(time.Hour)*b2i(f.Type() == reflect.TypeFor[time.Duration]()) + 1)
			}
		}
	}
	numbers(reflect.ValueOf(config.Limits{}), nil, "limits")
	return all
}

// certificate is one in PEM.
func certificate(t *testing.T) []byte {
	t.Helper()
	s := httptest.NewTLSServer(nil)
	defer s.Close()
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
}

func b2i(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// elsewhere are the rows of the table that no change beside five viewers shows, and what does.
var elsewhere = map[string]string{
	"defaults":                  "as the channel's own keys",
	"channels.*.role":           "its viewers",
	"channels.*.source":         "its viewers; TestReloadLeavesOthersAlone",
	"channels.*.wait_for_offer": "its viewers",
	"status":                    "cmd/kvsagent TestReloadMovesPageAndLog: the agent does not see it",
	"log":                       "cmd/kvsagent TestReloadMovesPageAndLog: the agent does not see it",
}

// TestEachRowIsTried: what the table promises of a key is shown by a change of that key.
func TestEachRowIsTried(t *testing.T) {
	tried := slices.Collect(maps.Keys(changes(t)))
	for key := range disturbs(t) {
		shown := slices.ContainsFunc(tried, func(k string) bool {
			return k == key || strings.HasPrefix(k, strings.TrimSuffix(key, ".*"))
		})
		for prefix := range elsewhere {
			shown = shown || key == prefix || strings.HasPrefix(key, prefix+".")
		}
		if !shown {
			t.Errorf("docs/reload.md speaks of %s, and no test changes it", key)
		}
	}
}

// TestReloadSeesNewContents of a file under the same name, and leaves alone what has not changed at all.
func TestReloadSeesNewContents(t *testing.T) {
	s := service(t)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	write := func(issue string) {
		if err := os.WriteFile(ca, append([]byte(issue+"\n"), certificate(t)...), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cfg := func() *config.Config {
		c := parse(t, s, gate)
		c.AWS.CAFile = ca
		return c
	}
	write("first")
	a, reload := start(t, cfg())
	again := func() {
		was := a.Report().Reload
		reload <- cfg()
		if r := reloaded(t, a, was); !r.OK {
			t.Fatal(r.Error)
		}
	}
	v := join(t, s, "gate", "tablet").watch()
	v.plays(t, 5)
	since := channel(a, "gate").Since
	again()
	if now := channel(a, "gate").Since; !now.Equal(since) {
		t.Error("signaling connects anew, and nothing has changed")
	}
	write("second")
	again()
	eventually(t, "signaling connects anew", func() bool { return channel(a, "gate").Since.After(since) })
	v.plays(t, 5)
}

// TestReloadCostsNoPicture changes key after key beside five viewers. None of them loses a picture or its session.
func TestReloadCostsNoPicture(t *testing.T) {
	table := disturbs(t)
	s := service(t)
	both := gate + "  yard: {source: yard, create: true}\n"
	base := strings.Replace(both, "channels:", "  yard: {url: \"testpattern:?size=320x180&rate=5\"}\nchannels:", 1)
	base = strings.Replace(base, "  gate: {", "  gate: {max_viewers: 5, ", 1)
	cfg := func() *config.Config { return parse(t, s, base) }
	limits := cfg()
	limits.Limits.MaxPending = 5
	a, reload := start(t, limits)
	var views []*view
	for i := range 5 {
		v := join(t, s, "gate", fmt.Sprint("v", i)).watch()
		v.plays(t, 2)
		views = append(views, v)
	}
	sessions := func() (ids []string) {
		for _, p := range channel(a, "gate").Peers {
			ids = append(ids, p.ClientID+" "+p.Session)
		}
		return ids
	}
	before := sessions()
	if len(before) != 5 {
		t.Fatalf("%d sessions", len(before))
	}
	// try reloads, and returns the longest time between two pictures of a viewer.
	try := func(t *testing.T, next *config.Config) (worst time.Duration) {
		t.Helper()
		var want []int
		for _, v := range views {
			v.forgetGaps()
			want = append(want, v.pictures()+2)
		}
		was := a.Report().Reload
		reload <- next
		if r := reloaded(t, a, was); !r.OK {
			t.Fatal(r.Error)
		}
		for i, v := range views {
			eventually(t, "all go on", func() bool { return v.pictures() >= want[i] })
			worst = max(worst, v.gap())
		}
		if now := sessions(); !reflect.DeepEqual(now, before) {
			t.Fatalf("sessions %v became %v", before, now)
		}
		return worst
	}
	for key, change := range changes(t) {
		t.Run(key, func(t *testing.T) {
			if what := row(table, key); strings.Contains(what, "its viewers") && !strings.Contains(key, ":") {
				t.Errorf("docs/reload.md says that %s disturbs %s", key, what)
			}
			next := cfg()
			change(next)
			var gaps []time.Duration
			for range 3 { // a machine under load costs pictures now and then, a reload each time
				gap := try(t, next)
				if gap <= 100*time.Millisecond {
					return
				}
				gaps = append(gaps, gap)
				try(t, limits) // back, to change it again
			}
			t.Errorf("each time pictures of a viewer are missing: %v", gaps)
		})
	}
}
