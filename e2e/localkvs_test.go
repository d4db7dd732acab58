package e2e

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesisvideo/types"
)

// startKVSWith is startKVS with further flags.
func startKVSWith(t *testing.T, flags ...string) *kvs {
	t.Helper()
	dir := t.TempDir()
	p := start(t, environment(), binary, append([]string{"localkvs", "--listen", "127.0.0.1:0", "--tls-listen", "127.0.0.1:0", "--tls-dir", dir}, flags...)...)
	return &kvs{
		URL:     p.find(t, &p.stdout, 10*time.Second, `http://127\.0\.0\.1:\d+`)[0],
		TLSURL:  p.find(t, &p.stdout, 10*time.Second, `https://127\.0\.0\.1:\d+`)[0],
		CA:      filepath.Join(dir, "ca.pem"),
		process: p,
	}
}

// TestAWSSDKForJavaScript has nothing of ours but localkvs in it: AWS's clients of the three services, and the official KVS WebRTC SDK as
// master and as viewer, all in Node and over TLS. What they do, and what they must see, is in browser/aws-sdk.mjs.
func TestAWSSDKForJavaScript(t *testing.T) {
	service := startKVSWith(t, "--storage-dir", t.TempDir())
	if out := service.node(t, "aws-sdk.mjs", service.TLSURL, "js"); !strings.Contains(out, "\ndone\n") {
		t.Errorf("node aws-sdk.mjs did not come to its end:\n%s", out)
	}
}

// node runs a script of browser/ that trusts the service, and returns what it prints.
func (s *kvs) node(t *testing.T, script string, args ...string) string {
	t.Helper()
	out, errs, code := run(t, 90*time.Second, environment("NODE_EXTRA_CA_CERTS="+s.CA), "/usr/bin/node", append([]string{"browser/" + script}, args...)...)
	if code != 0 {
		t.Fatalf("node %s: exit %d\n%s%s", script, code, out, errs)
	}
	return out
}

// cli runs aws SERVICE COMMAND over TLS and decodes what it prints, unless out is nil.
func (s *kvs) cli(t *testing.T, out any, service string, args ...string) {
	t.Helper()
	text := awsCLI(t, s.CA, append([]string{service, "--endpoint-url", s.TLSURL}, args...)...)
	if out == nil {
		return
	}
	if err := json.Unmarshal([]byte(text), out); err != nil {
		t.Fatalf("aws %s %s: %v in %q", service, args[0], err, text)
	}
}

// cliRefused runs a command that must fail with an error of the type.
func (s *kvs) cliRefused(t *testing.T, errorType, service string, args ...string) {
	t.Helper()
	env := environment(append([]string{"AWS_CA_BUNDLE=" + s.CA}, keys...)...)
	_, errs, code := run(t, 30*time.Second, env, "/usr/bin/aws", append([]string{service, "--endpoint-url", s.TLSURL}, args...)...)
	if code == 0 || !strings.Contains(errs, errorType) {
		t.Errorf("aws %s %s: exit %d, %q; want %s", service, args[0], code, errs, errorType)
	}
}

// TestStorageSession: the official SDK in Chromium is the master of a channel with storage, the AWS CLI sets it up and joins the
// session, localkvs records, and ffprobe judges the file. A second page joins as a viewer, with the AWS SDK, and plays the master.
func TestStorageSession(t *testing.T) {
	recordings := t.TempDir()
	service := startKVSWith(t, "--storage-dir", recordings)

	var created struct{ ChannelARN string }
	service.cli(t, &created, "kinesisvideo", "create-signaling-channel", "--channel-name", "stored", "--tags", "Key=place,Value=gate")
	arn := created.ChannelARN
	service.cli(t, nil, "kinesisvideo", "tag-resource", "--resource-arn", arn, "--tags", "Key=floor,Value=2")
	var tags struct{ Tags map[string]string }
	if service.cli(t, &tags, "kinesisvideo", "list-tags-for-resource", "--resource-arn", arn); tags.Tags["place"] != "gate" || tags.Tags["floor"] != "2" {
		t.Errorf("tags = %v", tags.Tags)
	}
	service.cli(t, nil, "kinesisvideo", "update-media-storage-configuration", "--channel-arn", arn,
		"--media-storage-configuration", "Status=ENABLED,StreamARN="+strings.Replace(arn, ":channel/", ":stream/", 1))
	var endpoints struct {
		ResourceEndpointList []struct{ Protocol, ResourceEndpoint string }
	}
	service.cli(t, &endpoints, "kinesisvideo", "get-signaling-channel-endpoint", "--channel-arn", arn,
		"--single-master-channel-endpoint-configuration", "Protocols=WSS,HTTPS,WEBRTC,Role=MASTER")
	if len(endpoints.ResourceEndpointList) != 3 {
		t.Errorf("endpoints = %v, want three", endpoints)
	}
	service.cliRefused(t, "InvalidArgumentException", "kinesis-video-webrtc-storage", "join-storage-session", "--channel-arn", arn) // nobody is connected

	sdk{arn: arn, endpoint: service.TLSURL, ca: service.CA, role: types.ChannelRoleMaster, send: true}.join(t, "answer")
	service.cli(t, nil, "kinesis-video-webrtc-storage", "join-storage-session", "--channel-arn", arn)
	var file string
	eventually(t, 20*time.Second, "a recording", func() (bool, any) {
		found, err := filepath.Glob(filepath.Join(recordings, "stored-*.mp4"))
		if err != nil || len(found) == 0 {
			return false, err
		}
		info, err := os.Stat(found[0])
		file = found[0]
		return err == nil && info.Size() > 20_000, info
	})

	viewer := sdk{arn: arn, endpoint: service.TLSURL, ca: service.CA, role: types.ChannelRoleViewer, clientID: "v1"}.join(t, "answer")
	service.node(t, "join.mjs", service.TLSURL, arn, "v1")
	viewer.plays(20, 320, 240, "audio/opus")

	service.stop()
	var probed struct {
		Streams []struct {
			Codec         string `json:"codec_name"`
			Width, Height int
			Packets       string `json:"nb_read_packets"`
		}
	}
	out, errs, code := run(t, 20*time.Second, environment(), "/usr/bin/ffprobe", "-v", "error", "-count_packets", "-show_streams", "-of", "json", file)
	if err := json.Unmarshal([]byte(out), &probed); err != nil || code != 0 || errs != "" {
		t.Fatalf("ffprobe: exit %d, %v: %s", code, err, errs)
	}
	packets := map[string]int{}
	for _, s := range probed.Streams {
		packets[s.Codec], _ = strconv.Atoi(s.Packets)
		if s.Codec == "h264" && (s.Width != 320 || s.Height != 240) {
			t.Errorf("the recording is %dx%d, want 320x240", s.Width, s.Height)
		}
	}
	if packets["h264"] < 20 || packets["opus"] < 40 {
		t.Errorf("recorded packets: %v, want 20 of h264 and 40 of opus, or more", packets)
	}
}

// TestCLIICEServers asks for TURN servers with AWS's own tool.
func TestCLIICEServers(t *testing.T) {
	service := startKVS(t)
	arn := create(t, service.URL, "ice")
	var got struct {
		IceServerList []struct {
			Uris               []string
			Username, Password string
			Ttl                int
		}
	}
	service.cli(t, &got, "kinesis-video-signaling", "get-ice-server-config", "--channel-arn", arn, "--client-id", "v1", "--service", "TURN")
	if len(got.IceServerList) == 0 {
		t.Fatal("no servers")
	}
	for _, s := range got.IceServerList {
		if s.Ttl != 300 || s.Username == "" || s.Password == "" || len(s.Uris) == 0 || !strings.HasPrefix(s.Uris[0], "turn") {
			t.Errorf("server = %+v", s)
		}
	}
	service.cliRefused(t, "ResourceNotFoundException", "kinesis-video-signaling", "get-ice-server-config", "--channel-arn", strings.Replace(arn, "/ice/", "/none/", 1))
}

// TestDeviceCertificate makes a device certificate with the command, and gets keys with it that AWS's tool can use.
func TestDeviceCertificate(t *testing.T) {
	service := startKVS(t)
	dir := filepath.Dir(service.CA)
	out, errs, code := run(t, 10*time.Second, environment(), binary, "localkvs", "device-certificate", "cam1", "--tls-dir", dir)
	if code != 0 || !strings.Contains(out, "device-cam1.pem") {
		t.Fatalf("device-certificate: exit %d: %s%s", code, out, errs)
	}
	cert, err := tls.LoadX509KeyPair(filepath.Join(dir, "device-cam1.pem"), filepath.Join(dir, "device-cam1.key"))
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool(t, service.CA), Certificates: []tls.Certificate{cert}}}}
	defer client.CloseIdleConnections()
	resp, err := client.Get(service.TLSURL + "/role-aliases/any/credentials")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var got struct {
		Credentials struct{ AccessKeyID, SecretAccessKey, SessionToken string }
	}
	if err := json.NewDecoder(resp.Body).Decode(&got); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("credentials: %s %v", resp.Status, err)
	}
	env := environment("AWS_ACCESS_KEY_ID="+got.Credentials.AccessKeyID, "AWS_SECRET_ACCESS_KEY="+got.Credentials.SecretAccessKey,
		"AWS_SESSION_TOKEN="+got.Credentials.SessionToken, "AWS_DEFAULT_REGION="+region, "AWS_CA_BUNDLE="+service.CA)
	if _, errs, code := run(t, 30*time.Second, env, "/usr/bin/aws", "kinesisvideo", "--endpoint-url", service.TLSURL, "list-signaling-channels"); code != 0 {
		t.Errorf("list with the device's keys: exit %d: %s", code, errs)
	}
	if _, errs, code := run(t, 10*time.Second, environment(), binary, "localkvs", "device-certificate", "cam1"); code != 2 || !strings.Contains(errs, "--tls-dir") {
		t.Errorf("without --tls-dir: exit %d: %s", code, errs)
	}
}

func pool(t *testing.T, ca string) *x509.CertPool {
	t.Helper()
	pem, err := os.ReadFile(ca)
	if err != nil {
		t.Fatal(err)
	}
	p := x509.NewCertPool()
	if !p.AppendCertsFromPEM(pem) {
		t.Fatalf("no certificate in %s", ca)
	}
	return p
}

// TestLocalkvsFlags: names in the certificate, endpoints of their own for roles, and channels that outlive the process.
func TestLocalkvsFlags(t *testing.T) {
	state := filepath.Join(t.TempDir(), "state.json")
	service := startKVSWith(t, "--tls-name", "kvs.test", "--tls-name", "192.0.2.1", "--named-endpoints", "--state-file", state)
	address := strings.TrimPrefix(service.TLSURL, "https://")
	for name, want := range map[string]bool{"kvs.test": true, "192.0.2.1": true, "v-1.localhost": true, "kvs.example": false} {
		conn, err := tls.Dial("tcp", address, &tls.Config{RootCAs: pool(t, service.CA), ServerName: name})
		if (err == nil) != want {
			t.Errorf("certificate for %s: %v, want it to be good: %v", name, err, want)
		}
		if err == nil {
			conn.Close()
		}
	}
	arn := create(t, service.URL, "kept")
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	for role, prefix := range map[types.ChannelRole]string{types.ChannelRoleMaster: "wss://m-", types.ChannelRoleViewer: "wss://v-"} {
		if got := endpoint(t, service.TLSURL, service.CA, arn, role); !strings.HasPrefix(got, prefix) || !strings.HasSuffix(got, ".localhost:"+port) {
			t.Errorf("endpoint of %s = %s, want %s….localhost:%s", role, got, prefix, port)
		}
	}
	service.stop()
	again := startKVSWith(t, "--state-file", state)
	if got := find(t, again.URL, "kept"); got != arn {
		t.Errorf("after a restart the ARN is %s, want %s", got, arn)
	}
}

// TestFaultScript: a service that was told to be ill is, and gets well.
func TestFaultScript(t *testing.T) {
	script := writeFile(t, "faults.json", `[{"after": "1ms", "set": {"calls": {"status": 503, "times": 2}}}]`)
	service := startKVSWith(t, "--faults", script)
	eventually(t, 5*time.Second, "the fault", func() (bool, any) {
		resp, err := http.Post(service.URL+"/listSignalingChannels", "application/json", strings.NewReader("{}"))
		if err != nil {
			return false, err
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusServiceUnavailable, resp.Status
	})
	eventually(t, 30*time.Second, "its end", func() (bool, any) {
		resp, err := http.Post(service.URL+"/listSignalingChannels", "application/json", strings.NewReader("{}"))
		if err != nil {
			return false, err
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusForbidden, resp.Status // it is not signed
	})
	bad := writeFile(t, "bad.json", `[{"do": [{"do": "explode"}]}]`)
	if _, errs, code := run(t, 10*time.Second, environment(), binary, "localkvs", "--listen", "127.0.0.1:0", "--faults", bad); code != 2 || !strings.Contains(errs, "explode") {
		t.Errorf("bad script: exit %d: %s", code, errs)
	}
}

// TestServiceRestarts: a service that is killed and started again costs a master and a viewer a reconnect: the channel is there, pictures
// do not stop, and a new viewer finds the master.
func TestServiceRestarts(t *testing.T) {
	flags := []string{"--listen", freeAddress(t), "--turn-listen", freeAddress(t), "--state-file", filepath.Join(t.TempDir(), "state.json")}
	service := startKVSWith(t, flags...)
	agent := startAgent(t, environment(keys...), service.URL, "", "sources: {pattern: {url: \"testpattern:\"}}\nchannels: {again: {source: pattern, create: true}}\n")
	arn := agent.connected(t, "again")
	watch := func(id string) *page {
		return sdk{arn: arn, endpoint: service.URL, role: types.ChannelRoleViewer, clientID: id}.join(t, "offer")
	}
	first := watch("v1")
	first.moves(20)

	service.signal(syscall.SIGKILL)
	<-service.ended
	eventually(t, 10*time.Second, "the agent misses the service", func() (bool, any) {
		c := agent.channel(t, "again")
		return c.State != "connected", c.State
	})
	service = startKVSWith(t, flags...)
	first.moves(20)
	if got := agent.connected(t, "again"); got != arn {
		t.Errorf("the channel is %s after the restart, want %s", got, arn)
	}
	watch("v2").moves(20)
	if got := first.stats().Connections; len(got) != 1 || got[0] != "connected" {
		t.Errorf("connections of the first viewer = %v, want the one that it had", got)
	}
}

// TestLocalkvsPage watches the service's page in Chromium: channels, connections and messages appear on it by themselves.
func TestLocalkvsPage(t *testing.T) {
	service := startKVS(t)
	p := openPage(t, service.URL+"/localkvs/")
	shows := func(text string, want bool) {
		t.Helper()
		eventually(t, 10*time.Second, "the page shows "+text, func() (bool, any) {
			var found bool
			p.call(&found, "find", text, true, false, true) // window.find: case matters, forward, from the top again
			return found == want, found
		})
	}
	shows("No channels yet", true)
	arn := create(t, service.URL, "on-the-page")
	shows(arn, true)
	viewer := dialRaw(t, service.URL, arn, "v-17")
	shows("viewer v-17 from", true)
	viewer.message("SDP_OFFER", `{"type":"offer","sdp":"v=0"}`)
	shows("SDP_OFFER", true)
	viewer.message("PING", "hello")
	shows("InvalidArgumentException", true)
	viewer.conn.Close()
	shows("viewer v-17 from", false)
}
