package config_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/kvsagent/kvsagent/config"
	"github.com/kvsagent/kvsagent/media/pipe"
)

func noEnv(string) (string, bool) { return "", false }

// parse is Parse of a file in testdata that has no mistakes.
func parse(t *testing.T, text string, env func(string) (string, bool)) *config.Config {
	t.Helper()
	cfg, err := config.Parse("testdata/inline.yaml", []byte(text), env)
	if err != nil {
		t.Fatalf("Parse:\n%v", err)
	}
	return cfg
}

func TestDefaults(t *testing.T) {
	cfg := parse(t, `
aws: {region: eu-central-1}
sources: {gate: {url: testpattern}}
channels: {front-gate: {source: gate}}`, noEnv)
	want := &config.Config{
		AWS: config.AWS{Region: "eu-central-1", Spread: 2 * time.Second, Hearing: 5 * time.Minute},
		Defaults: config.Defaults{Role: config.Master, MaxViewers: 10, MessageTTL: time.Minute,
			Storage: config.StorageAuto},
		Sources: map[string]config.Source{"gate": {URL: "testpattern:", Transport: "tcp", Audio: config.AudioPass,
			Offline: config.OfflineSlate, Linger: 10 * time.Second}},
		Channels: map[string]config.Channel{
			"front-gate": {ChannelName: "front-gate", Role: config.Master, Source: "gate", MaxViewers: 10,
				MessageTTL: time.Minute, Storage: config.StorageAuto},
		},
		WebRTC: config.WebRTC{KVSTURN: true, ICETransportPolicy: "all", IP: "both", Remote: "on-link"},
		Limits: config.Limits{
			SetupTimeout: 20 * time.Second, MaxPending: 4, IdleTimeout: 5 * time.Minute,
			Offers: config.OfferLimits{PerSecond: 5, Burst: 10, ClientEvery: 2 * time.Second, ClientBurst: 3},
			Signaling: config.SignalingLimits{SDPBytes: 32 << 10, MediaSections: 8, Candidates: 64,
				EarlyCandidates: 32, EarlyLife: 20 * time.Second},
			Inbound:      config.InboundLimits{Streams: 8, Kilobits: 256, RTCP: 400, KeyFrames: 50},
			DataChannels: config.DataChannelLimits{Count: 4, MessageBytes: 16 << 10, Messages: 100, Bytes: 256 << 10},
		},
		Status: config.Status{Listen: "127.0.0.1:9780"},
		Log:    config.Log{Level: "info", Format: "text"},
	}
	if !reflect.DeepEqual(cfg, want) {
		t.Errorf("got  %+v\nwant %+v", cfg, want)
	}
}

// The defaults block applies to channels: all of it to a master, and to a viewer what does not concern sending.
func TestInheritance(t *testing.T) {
	cfg := parse(t, `
aws: {endpoint: "http://127.0.0.1:9790/"}
defaults: {role: viewer, source: gate, create: true, max_viewers: 3, message_ttl: 30s, tags: {site: yard}, storage: off}
sources: {gate: {url: testpattern}, yard: {url: "file:yard.mp4"}}
channels:
  watch:
  named: {channel_name: front-gate, client_id: tablet, wait_for_offer: true, create: false}
  gate: {role: master}
  yard: {role: master, source: yard, max_viewers: 2, offer_to: [tablet, phone], message_ttl: 5s, tags: {site: gate, "cost:centre": "7"}, storage: on}`, noEnv)
	host, _ := os.Hostname()
	site := map[string]string{"site": "yard"}
	for name, want := range map[string]config.Channel{
		"watch": {ChannelName: "watch", Role: config.Viewer, Create: true, ClientID: "kvsagent-" + host + "-watch",
			MessageTTL: 30 * time.Second, Tags: site, Storage: config.StorageOff},
		"named": {ChannelName: "front-gate", Role: config.Viewer, ClientID: "tablet", WaitForOffer: true,
			MessageTTL: 30 * time.Second, Tags: site, Storage: config.StorageOff},
		"gate": {ChannelName: "gate", Role: config.Master, Source: "gate", Create: true, MaxViewers: 3,
			MessageTTL: 30 * time.Second, Tags: site, Storage: config.StorageOff},
		"yard": {ChannelName: "yard", Role: config.Master, Source: "yard", Create: true, MaxViewers: 2,
			OfferTo:    []string{"tablet", "phone"},
			MessageTTL: 5 * time.Second, Tags: map[string]string{"site": "gate", "cost:centre": "7"},
			Storage: config.StorageOn},
	} {
		if got := cfg.Channels[name]; !reflect.DeepEqual(got, want) {
			t.Errorf("channel %s:\ngot  %+v\nwant %+v", name, got, want)
		}
	}
	if cfg.AWS.Endpoint != "http://127.0.0.1:9790" {
		t.Errorf("endpoint = %q, want it without the slash", cfg.AWS.Endpoint)
	}
	if got, want := cfg.Sources["yard"].URL, "file:"+absolute(t, "testdata/yard.mp4"); got != want {
		t.Errorf("file source = %q, want %q", got, want)
	}
}

func TestRegion(t *testing.T) {
	const aws = "https://kinesisvideo.eu-west-1.amazonaws.com"
	for _, tt := range []struct {
		name, region, endpoint string
		env                    map[string]string
		want                   string
	}{
		{"key", "eu-central-1", "", map[string]string{"AWS_REGION": "us-west-2"}, "eu-central-1"},
		{"AWS_REGION", "", "", map[string]string{"AWS_REGION": "us-west-2", "AWS_DEFAULT_REGION": "x-y-1"},
			"us-west-2"},
		{"AWS_DEFAULT_REGION", "", "", map[string]string{"AWS_DEFAULT_REGION": "ap-south-1"}, "ap-south-1"},
		{"AWS endpoint", "", aws, map[string]string{"AWS_REGION": "us-west-2"}, "eu-west-1"},
		{"VPC endpoint", "", "https://vpce-0a1b-x.kinesisvideo.eu-west-1.vpce.amazonaws.com", nil, "eu-west-1"},
		{"dual-stack endpoint", "", "https://kinesisvideo.eu-west-1.api.aws", nil, "eu-west-1"},
		{"other endpoint", "", "http://127.0.0.1:9790", nil, "us-west-2"},
		{"other endpoint, AWS_REGION", "", "http://127.0.0.1:9790", map[string]string{"AWS_REGION": "us-west-2"},
			"us-west-2"},
		{"other endpoint, key", "eu-central-1", "http://127.0.0.1:9790", nil, "eu-central-1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			text := "sources: {gate: {url: testpattern}}\nchannels: {front-gate: {source: gate}}\naws:\n  ca_file: " +
				"files/ca.pem\n"
			if strings.HasPrefix(tt.endpoint, "http:") {
				text = strings.Replace(text, "  ca_file: files/ca.pem\n", "", 1)
			}
			if tt.region != "" {
				text += "  region: " + tt.region + "\n"
			}
			if tt.endpoint != "" {
				text += "  endpoint: " + tt.endpoint + "\n"
			}
			cfg := parse(t, text, func(name string) (string, bool) { v, ok := tt.env[name]; return v, ok })
			if cfg.AWS.Region != tt.want {
				t.Errorf("region = %q, want %q", cfg.AWS.Region, tt.want)
			}
			if cfg.AWS.CAFile != "" && cfg.AWS.CAFile != absolute(t, "testdata/files/ca.pem") {
				t.Errorf("ca_file = %q", cfg.AWS.CAFile)
			}
		})
	}
	_,
		err := config.Parse("x.yaml",
		[]byte("sources: {gate: {url: testpattern}}\nchannels: {front-gate: {source: gate}}"),
		func(name string) (string, bool) { return "Hunter 2", name == "AWS_REGION" })
	if err == nil || strings.Contains(err.Error(), "Hunter") || !strings.Contains(err.Error(), "AWS_REGION") {
		t.Errorf("bad AWS_REGION: %v, want a mistake that names it and hides its value", err)
	}
}

// The environment of AWS tools applies where the file is silent.
func TestAWSEnvironment(t *testing.T) {
	const rest = "sources: {gate: {url: testpattern}}\nchannels: {front-gate: {source: gate}}\n"
	ca := absolute(t, "testdata/files/ca.pem")
	for _, tt := range []struct {
		name, text string
		env        map[string]string
		want       config.AWS
	}{
		{"all", "", map[string]string{"AWS_ENDPOINT_URL_KINESIS_VIDEO": "https://kvs.test:8443/",
			"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_CA_BUNDLE": ca,
			"AWS_USE_DUALSTACK_ENDPOINT": "true", "AWS_USE_FIPS_ENDPOINT": "true"},
			config.AWS{Region: "us-west-2", Endpoint: "https://kvs.test:8443", CAFile: ca, DualStack: true,
				FIPS: true}},
		{"endpoint of all services", "", map[string]string{"AWS_ENDPOINT_URL": "http://127.0.0.1:1",
			"AWS_CA_BUNDLE": ca},
			config.AWS{Region: "us-west-2", Endpoint: "http://127.0.0.1:1", CAFile: ca}},
		{"ignored", "", map[string]string{"AWS_ENDPOINT_URL": "http://127.0.0.1:1",
			"AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true", "AWS_REGION": "eu-west-1"},
			config.AWS{Region: "eu-west-1"}},
		{"the file says otherwise",
			"aws: {region: eu-west-1, endpoint: 'https://127.0.0.1:2', ca_file: files/ca.pem, dual_stack: false, " +
				"fips: false}\n",
			map[string]string{"AWS_ENDPOINT_URL_KINESIS_VIDEO": "https://kvs.test:8443", "AWS_CA_BUNDLE": "/none",
				"AWS_USE_DUALSTACK_ENDPOINT": "true", "AWS_USE_FIPS_ENDPOINT": "true"},
			config.AWS{Region: "eu-west-1", Endpoint: "https://127.0.0.1:2", CAFile: ca}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.want.Spread, tt.want.Hearing = 2*time.Second, 5*time.Minute
			cfg := parse(t, tt.text+rest, func(name string) (string, bool) { v, ok := tt.env[name]; return v, ok })
			if !reflect.DeepEqual(cfg.AWS, tt.want) {
				t.Errorf("got  %+v\nwant %+v", cfg.AWS, tt.want)
			}
		})
	}
	_, err := config.Parse("x.yaml", []byte("aws: {region: eu-west-1}\n"+rest),
		func(n string) (string, bool) { return "ftp://x", n == "AWS_ENDPOINT_URL" })
	if err == nil || !strings.Contains(err.Error(), "AWS_ENDPOINT_URL") {
		t.Errorf("%v, want a mistake that names AWS_ENDPOINT_URL", err)
	}
}

func TestVariables(t *testing.T) {
	for _, tt := range []struct{ written, want string }{
		{"plain", "plain"},
		{"${HOST}", "192.0.2.10"},
		{"a${HOST}b${PASSWORD}c", "a192.0.2.10bhunter2c"},
		{"${EMPTY}", ""},
		{"${EMPTY:full}", "full"},
		{"${NONE:de:fault}", "de:fault"},
		{"${NONE:}", ""},
		{"${HOST:other}", "192.0.2.10"},
		{"pa$$word", "pa$word"},
		{"$${HOST}", "${HOST}"},
		{"pa$word$", "pa$word$"},
		{"${YAML}", `": [a, {b: c}] # `},
	} {
		env := func(name string) (string, bool) {
			if name == "YAML" {
				return `": [a, {b: c}] # `, true
			}
			return environment(name)
		}
		cfg := parse(t, `
aws: {region: eu-central-1}
sources: {gate: {url: "rtsp://192.0.2.10/", username: "`+tt.written+`"}}
channels: {front-gate: {source: gate}}`, env)
		if got := cfg.Sources["gate"].Username; got != tt.want {
			t.Errorf("%s is %q, want %q", tt.written, got, tt.want)
		}
	}
}

// Every kind of value can come from a variable.
func TestVariablesInOtherTypes(t *testing.T) {
	cfg := parse(t, `
aws: {region: "${R:eu-central-1}"}
sources: {gate: {url: "${U:testpattern}", keep_warm: "${K:true}"}}
channels: {front-gate: {source: gate, role: "${ROLE:master}", max_viewers: "${M:7}"}}
limits: {setup_timeout: "${T:3s}"}
webrtc: {nat_1to1: "${IP:198.51.100.7}"}`, noEnv)
	got := fmt.Sprint(cfg.Sources["gate"].KeepWarm, cfg.Channels["front-gate"].MaxViewers, cfg.Limits.SetupTimeout,
		cfg.WebRTC.NAT1To1)
	if want := "true 7 3s [198.51.100.7]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestSecretsFromFiles(t *testing.T) {
	t.Setenv("CREDENTIALS_DIRECTORY", absolute(t, "testdata/files"))
	cfg := parse(t, `
aws:
  region: eu-central-1
  credentials: {access_key_id: AKIDEXAMPLE, secret_access_key_file: files/password,
      session_token_file: "${CREDENTIALS_DIRECTORY}/password"}
sources:
  file: {url: "rtsp://192.0.2.10/", username: viewer, password_file: "`+absolute(t, "testdata/files/password")+`"}
  url: {url: "rtsp://viewer:hun%2Fter2@192.0.2.10:8554/a?b=c"}
channels: {front-gate: {source: file}}
webrtc: {ice_servers: [{urls: "turn:192.0.2.1:3478?transport=tcp", username: me,
      credential_file: files/password}, {urls: [stun:192.0.2.1]}]}
status: {listen: off}`, os.LookupEnv)
	for what, got := range map[string]config.Secret{
		"secret_access_key": cfg.AWS.Credentials.SecretAccessKey,
		"session_token":     cfg.AWS.Credentials.SessionToken,
		"password":          cfg.Sources["file"].Password,
		"credential":        cfg.WebRTC.ICEServers[0].Credential,
	} {
		if string(got) != "hunter2" {
			t.Errorf("%s = %q, want hunter2", what, string(got))
		}
	}
	got := cfg.Sources["url"]
	if got.URL != "rtsp://192.0.2.10:8554/a?b=c" || got.Username != "viewer" || string(got.Password) != "hun/ter2" {
		t.Errorf("got %q, %q, %q: want user and password out of the URL", got.URL, got.Username, string(got.Password))
	}
	if !cfg.Status.Off() {
		t.Errorf("listen: off gives %q", cfg.Status.Listen)
	}
	if want := []string{"stun:192.0.2.1"}; !reflect.DeepEqual(cfg.WebRTC.ICEServers[1].URLs, want) {
		t.Errorf("urls = %q, want %q", cfg.WebRTC.ICEServers[1].URLs, want)
	}
}

func TestIoT(t *testing.T) {
	dir := t.TempDir()
	key := "-----BEGIN EC PRIVATE " + "KEY-----\nAAAA\n-----END EC PRIVATE " + "KEY-----\n"
	if err := os.WriteFile(filepath.Join(dir, "key.pem"), []byte(key), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := parse(t, `
aws:
  region: eu-central-1
  credentials:
    iot: {endpoint: c123.credentials.iot.eu-central-1.amazonaws.com, role_alias: cameras, thing_name: gate,
      certificate: files/ca.pem, private_key: "`+dir+`/key.pem", ca_file: files/ca.pem}
sources: {gate: {url: testpattern}}
channels: {front-gate: {source: gate}}`, noEnv)
	ca := absolute(t, "testdata/files/ca.pem")
	want := config.IoT{Endpoint: "c123.credentials.iot.eu-central-1.amazonaws.com", RoleAlias: "cameras",
		ThingName:   "gate",
		Certificate: ca, PrivateKey: dir + "/key.pem", CAFile: ca}
	if got := cfg.AWS.Credentials.IoT; got == nil || *got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// A generated client ID is one that KVS accepts, whatever the host is called.
func TestClientIDIsGenerated(t *testing.T) {
	name := strings.Repeat("gate.", 50)
	cfg := parse(t, "aws: {region: eu-central-1}\nchannels: {"+name+": {role: viewer}}", noEnv)
	id := cfg.Channels[name].ClientID
	if len(id) > 256 || strings.Trim(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") != "" ||
		!strings.HasPrefix(id, "kvsagent-") {
		t.Errorf("client id %q of %d characters", id, len(id))
	}
}

// An alias is the value it stands for.
func TestAlias(t *testing.T) {
	cfg := parse(t, `
aws: {region: eu-central-1}
sources: {gate: {url: &u testpattern}, yard: {url: *u}}
channels: {front-gate: {source: gate}}
webrtc: {nat_1to1: [198.51.100.7, "2001:db8::7"]}`, noEnv)
	if got := cfg.Sources["yard"].URL; got != "testpattern:" {
		t.Errorf("url = %q, want testpattern:", got)
	}
	if want := []netip.Addr{netip.MustParseAddr("198.51.100.7"),
		netip.MustParseAddr("2001:db8::7")}; !reflect.DeepEqual(cfg.WebRTC.NAT1To1, want) {
		t.Errorf("nat_1to1 = %v, want %v", cfg.WebRTC.NAT1To1, want)
	}
}

// Keys of webrtc that hold more than a word or a number.
func TestWebRTC(t *testing.T) {
	w := parse(t, `
aws: {region: eu-central-1}
sources: {gate: {url: testpattern}}
channels: {front-gate: {source: gate}}
webrtc:
  interfaces: [eth0, "wl*"]
  addresses: [192.168.1.7/24, "2001:db8::/32"]
  proxy: http://user:${PASSWORD}@192.0.2.1:3128`, environment).WebRTC
	if want := []netip.Prefix{netip.MustParsePrefix("192.168.1.0/24"),
		netip.MustParsePrefix("2001:db8::/32")}; !reflect.DeepEqual(w.Addresses, want) {
		t.Errorf("addresses = %v, want %v", w.Addresses, want)
	}
	if want := []string{"eth0", "wl*"}; !reflect.DeepEqual(w.Interfaces, want) {
		t.Errorf("interfaces = %v, want %v", w.Interfaces, want)
	}
	if string(w.Proxy) != "http://user:hunter2@192.0.2.1:3128" {
		t.Errorf("proxy = %q", string(w.Proxy))
	}
}

func TestSecretIsHidden(t *testing.T) {
	type holder struct {
		Password config.Secret
		Nested   map[string]*config.Secret
	}
	s := config.Secret("hunter2")
	v := holder{s, map[string]*config.Secret{"a": &s}}
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "secret", s, "holder", v)
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "secret", s, "holder", v)
	asJSON, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	asYAML, err := yaml.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var verbs string
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%U"} {
		verbs += fmt.Sprintf(verb+" "+verb, s, v)
	}
	for what, text := range map[string]string{"log": log.String(), "JSON": string(asJSON), "YAML": string(asYAML),
		"fmt": verbs} {
		if strings.Contains(text, "hunter2") || strings.Contains(strings.ToLower(text), "68756e74657232") {
			t.Errorf("%s shows the secret: %s", what, text)
		}
		if !strings.Contains(text, "[hidden]") {
			t.Errorf("%s does not show that there is a secret: %s", what, text)
		}
	}
	if got := config.Secret("").String(); got != "" {
		t.Errorf("an empty secret is shown as %q, want nothing", got)
	}
}

func TestLoad(t *testing.T) {
	t.Setenv("KVSAGENT_TEST_HOST", "192.0.2.10")
	path := filepath.Join(t.TempDir(), "kvsagent.yaml")
	text := "aws: {region: eu-central-1}\nsources: {gate: {url: 'rtsp://${KVSAGENT_TEST_HOST}/'}}\nchannels: " +
		"{front-gate: {source: gate}}\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(path)
	if err != nil || cfg.Sources["gate"].URL != "rtsp://192.0.2.10/" {
		t.Fatalf("Load = %+v, %v", cfg, err)
	}
	if err := os.WriteFile(path, []byte(text+strings.Repeat("#\n", 128<<10)), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		path:               path + ": larger than 256 KiB; hint: is this the right file?",
		filepath.Dir(path): filepath.Dir(path) + ": is a directory",
		filepath.Dir(path) + "/x.yaml": filepath.Dir(path) +
			"/x.yaml: no such file or directory; hint: give another file with -c FILE",
	} {
		_, err := config.Load(path)
		if _, ok := errors.AsType[config.Errors](err); !ok || err.Error() != want {
			t.Errorf("Load = %v, want %s", err, want)
		}
	}
}

func absolute(t *testing.T, path string) string {
	t.Helper()
	abs, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return abs
}

// A secret that every user can read is a warning with its cure, and a config that every user can change is refused.
func TestFilesOfOthers(t *testing.T) {
	dir := t.TempDir()
	secret, file := filepath.Join(dir, "gate.password"), filepath.Join(dir, "kvsagent.yaml")
	text := "aws: {region: eu-central-1}\nsources:\n  gate: {url: \"rtsp://192.0.2.1/\", username: u, " +
		"password_file: gate.password}\nchannels: {gate: {source: gate}}\n"
	write := func(path, text string, mode os.FileMode) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		secret, file os.FileMode
		warnings     int
		refused      bool
	}{{0o640, 0o640, 0, false}, {0o644, 0o644, 1, false}, {0o600, 0o666, 0, true}} { // the config has none itself
		write(secret, "sesame\n", tt.secret)
		write(file, text, tt.file)
		cfg, err := config.Load(file)
		if tt.refused {
			if err == nil || !strings.Contains(err.Error(), "chmod o-w "+file) {
				t.Errorf("mode %o: %v", tt.file, err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		w := strings.Join(cfg.Warnings(), "\n")
		if len(cfg.Warnings()) != tt.warnings || tt.warnings > 0 &&
			!strings.Contains(w, file+":3: ") || tt.warnings > 0 && !strings.Contains(w, "chmod o-rwx "+secret) {
			t.Errorf("modes %o, %o: %q", tt.secret, tt.file, w)
		}
		if strings.Contains(w, "sesame") {
			t.Errorf("the secret is shown: %s", w)
		}
	}
}

// A config that holds a secret itself is a warning, too, when every user can read it, wherever the secret is.
func TestSecretsInAFileOfAll(t *testing.T) {
	t.Setenv("GATE", "sesame")
	file := filepath.Join(t.TempDir(), "kvsagent.yaml")
	for _, tt := range []struct {
		source, more, key string // of the secret; "" for none
	}{
		{source: `url: "rtsp://u:sesame@192.0.2.1/"`, key: "sources.gate.url"},
		{source: `url: "rtsp://u:${GATE}@192.0.2.1/"`}, {source: `url: "rtsp://u@192.0.2.1/"`},
		{source: `url: "rtsp://u:${GATE:sesame}@192.0.2.1/"`, key: "sources.gate.url"},
		{source: `url: "rtsp://192.0.2.1/?password=sesame"`, key: "sources.gate.url"},
		{source: `url: "rtsp://192.0.2.1/a?b=c"`},
		{source: `url: "rtsp://192.0.2.1/", username: u, password: sesame`, key: "sources.gate.password"},
		{source: `url: "rtsp://192.0.2.1/", username: u, password: "${GATE}"`},
		{source: `url: "rtsp://192.0.2.1/", sub: "rtsp://192.0.2.1/?pwd=sesame"`, key: "sources.gate.sub"},
		{source: `url: "exec:show -i rtsp://u:sesame@192.0.2.1/"`, key: "sources.gate.url"},
		{source: `url: "exec:show", args: [-i, "rtsp://u:it's sesame@192.0.2.1/"]`, key: "sources.gate.args[1]"},
		{source: `url: "exec:show", env: {CAM_PASSWORD: sesame}`, key: "sources.gate.env.CAM_PASSWORD"},
		{source: `url: "exec:show", env: {LIBVA_DRIVER_NAME: iHD}`},
		{source: "url: testpattern", more: "webrtc: {proxy: \"http://u:sesame@192.0.2.1:3128\"}", key: "webrtc.proxy"},
		{source: "url: testpattern", more: "webrtc: {proxy: \"http://192.0.2.1:3128\"}"},
		{source: "url: testpattern", more: "status: {users: {anna: " +
			"$2a$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy}}",
			key: "status.users.anna"},
	} {
		text := "aws: {region: eu-central-1}\nsources:\n  gate: {" + tt.source + "}\n" +
			"channels: {gate: {source: gate}}\n" + tt.more + "\n"
		for _, mode := range []os.FileMode{0o644, 0o640} {
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(file, mode); err != nil {
				t.Fatal(err)
			}
			cfg, err := config.Load(file)
			if err != nil {
				t.Errorf("%s %s: %v", tt.source, tt.more, err)
				continue
			}
			w := strings.Join(cfg.Warnings(), "\n")
			if tt.key == "" || mode == 0o640 {
				if w != "" {
					t.Errorf("%s %s, mode %o: %s", tt.source, tt.more, mode, w)
				}
				continue
			}
			if !strings.Contains(w, "the secret in "+tt.key) || !strings.Contains(w, "chmod o-rwx "+file) ||
				strings.Contains(w, "sesame") || len(cfg.Warnings()) != 1 {
				t.Errorf("%s %s: %q", tt.source, tt.more, w)
			}
		}
	}
}

// The path of a socket is relative to the config as other paths are.
func TestSocketPaths(t *testing.T) {
	dir := t.TempDir()
	base := "aws: {region: eu-central-1}\nsources: {gate: {url: testpattern}}\nchannels: {gate: {source: gate}}\n"
	cfg, err := config.Parse(filepath.Join(dir, "kvsagent.yaml"),
		[]byte(base+"status: {listen: \"unix:page.sock\", metrics_listen: \"unix:run/metrics.sock\"}\n"), os.LookupEnv)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := cfg.Status.Listen, "unix:"+filepath.Join(dir, "page.sock"); got != want {
		t.Errorf("listen: %s, want %s", got, want)
	}
	if got, want := cfg.Status.MetricsListen, "unix:"+filepath.Join(dir, "run/metrics.sock"); got != want {
		t.Errorf("metrics_listen: %s, want %s", got, want)
	}
}

// A variable in a command stays one word, or a part of one, whatever it contains.
func TestVariablesInCommands(t *testing.T) {
	value := `a b' "c\ | $d`
	for _, tt := range []struct{ url, want string }{
		{`exec:show ${V} end`, value}, {`exec:show x${V}y end`, "x" + value + "y"},
		{`exec:show '${V}' end`, value}, {`exec:show "${V}" end`, value}, {`exec:show \'"${V}" end`, "'" + value},
	} {
		doc, err := yaml.Marshal(map[string]any{
			"aws":      map[string]string{"region": "eu-central-1"},
			"sources":  map[string]any{"gate": map[string]string{"url": tt.url}},
			"channels": map[string]any{"gate": map[string]string{"source": "gate"}},
		})
		if err != nil {
			t.Fatal(err)
		}
		cfg, err := config.Parse("test.yaml", doc, func(name string) (string, bool) {
			if name != "V" {
				return "", false
			}
			return value, true
		})
		if err != nil {
			t.Fatal(err)
		}
		words, err := pipe.Split(strings.TrimPrefix(cfg.Sources["gate"].URL, "exec:"))
		if err != nil || len(words) != 3 || words[1] != tt.want {
			t.Errorf("%s: %q, %v", tt.url, words, err)
		}
	}
}
