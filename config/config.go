// Package config holds what the operator writes: one YAML file and its defaults. It reports every mistake in the file
// with its line and a hint.
//
//	bytes -> YAML nodes -> ${VAR} in scalars -> strict decoding and defaults -> secret files -> checks across keys
//	      -> *Config or Errors
//
// The comments in this file are the manual: the JSON Schema and docs/config.md take their descriptions from here. The
// tags hold each key's default, choices (enum), range (min, max), pattern with its hint, and examples. A key without a
// default tag is empty, false or 0 when it is left out.
package config

import (
	"net/netip"
	"time"
)

// Config is the whole file: YAML, at most 256 KiB, one document. An editor with a YAML language server completes and
// checks it with the output of kvsagent schema; kvsagent validate -c FILE reports every mistake with its line.
//
// Unknown keys are mistakes. So are keys written twice, and keys without a value; a section may be empty. Durations
// have units: 500ms, 20s, 1h30m. A list of one element may be written as that element.
//
// ${VAR} in a value stands for an environment variable, and ${VAR:default} has a default for when the variable is unset
// or empty; $$ is a dollar. Variables are replaced after the YAML was parsed, so a value cannot change the meaning of
// the rest.
//
// Paths are relative to the directory of the file. A secret can be written as its value, come from a variable, or be
// the only line of a file of its own: each secret key has a twin whose name ends in _file. Under systemd,
// ${CREDENTIALS_DIRECTORY}/NAME is the file that LoadCredential=NAME:PATH provides.
type Config struct {
	// Where the signaling channels are, and the keys for them.
	AWS AWS `yaml:"aws"`
	// Defaults for all channels.
	Defaults Defaults `yaml:"defaults"`
	// Cameras and other sources of video and audio, each under a name of your choice.
	Sources map[string]Source `yaml:"sources" pattern:"^[a-zA-Z0-9_.-]{1,256}$" hint:"letters, digits, _ . and -, at most 256 characters"`
	// Signaling channels. The key is the channel's name at KVS unless channel_name says otherwise.
	Channels map[string]Channel `yaml:"channels" required:"true" example:"front-gate: {source: gate}" pattern:"^[a-zA-Z0-9_.-]{1,256}$" hint:"letters, digits, _ . and -, at most 256 characters"`
	// How media travels.
	WebRTC WebRTC `yaml:"webrtc"`
	// Limits that protect this host.
	Limits Limits `yaml:"limits"`
	// The status page, report, metrics and health checks, all on one port.
	Status Status `yaml:"status"`
	// What is logged to standard error.
	Log Log `yaml:"log"`

	warnings []string
}

// Warnings are what should be mended, and does not keep the config from running.
func (c *Config) Warnings() []string { return c.warnings }

// AWS says where the signaling channels are, and with which keys.
type AWS struct {
	// AWS region of the channels. Left out, it is taken from the endpoint's host name, or from AWS_REGION or
	// AWS_DEFAULT_REGION in the environment, or, for an endpoint that is not AWS, is us-west-2.
	Region string `yaml:"region" pattern:"^[a-z0-9]+(-[a-z0-9]+)+$" hint:"a region's code, such as eu-central-1" example:"eu-central-1"`
	// URL of the KVS control plane, http or https. Left out, it is the region's. Set it for a VPC endpoint, or for a
	// server that speaks the same protocol without AWS. AWS_ENDPOINT_URL_KINESIS_VIDEO and AWS_ENDPOINT_URL in the
	// environment do the same, unless AWS_IGNORE_CONFIGURED_ENDPOINT_URLS is true.
	Endpoint string `yaml:"endpoint" example:"http://127.0.0.1:9790"`
	// PEM file with the certificate authorities to trust, instead of the system's, for AWS, the endpoint, and TURN
	// servers over TLS and DTLS. Left out, it is AWS_CA_BUNDLE from the environment.
	CAFile string `yaml:"ca_file" example:"ca.pem"`
	// Use AWS's host names for both IPv4 and IPv6. AWS_USE_DUALSTACK_ENDPOINT in the environment does the same.
	DualStack bool `yaml:"dual_stack" default:"false"`
	// Use AWS's host names with FIPS 140 validated cryptography, which is always done in us-gov regions.
	// AWS_USE_FIPS_ENDPOINT in the environment does the same.
	FIPS bool `yaml:"fips" default:"false"`
	// Longest random wait before the first attempt to reconnect after a connection was lost. A fleet of n agents should
	// use n/300 seconds, such as 30s for 10,000 cameras, so that the service does not throttle agents that lost it
	// together.
	Spread time.Duration `yaml:"spread" default:"2s" max:"10m"`
	// How long a master hears nobody before it asks whether another master has taken the channel, which KVS does not
	// tell. It asks by a message to itself, as a viewer of the channel, and takes the channel back. Without
	// kinesisvideo:ConnectAsViewer it renews its connection after twice the time instead. 0 never asks.
	Hearing time.Duration `yaml:"hearing" default:"5m" max:"1h"`
	// AWS keys. Left out, they are found as in every AWS tool: environment, shared files, container and instance roles.
	Credentials Credentials `yaml:"credentials"`
}

// Credentials is one of three kinds: a profile, an access key, or an IoT certificate.
type Credentials struct {
	// Profile in the shared AWS files (~/.aws, or where AWS_SHARED_CREDENTIALS_FILE and AWS_CONFIG_FILE point).
	Profile string `yaml:"profile" example:"cameras"`
	// Access key, together with secret_access_key.
	AccessKeyID string `yaml:"access_key_id" pattern:"^[a-zA-Z0-9_]{1,128}$" hint:"letters and digits, as AWS shows it"`
	// Secret of the access key.
	SecretAccessKey Secret `yaml:"secret_access_key"`
	// File that holds the secret of the access key.
	SecretAccessKeyFile string `yaml:"secret_access_key_file" example:"aws-secret"`
	// Session token of a temporary access key.
	SessionToken Secret `yaml:"session_token"`
	// File that holds the session token.
	SessionTokenFile string `yaml:"session_token_file"`
	// X.509 certificate of an AWS IoT thing, exchanged for temporary keys.
	IoT *IoT `yaml:"iot"`
}

// IoT is the AWS IoT Core credentials provider.
type IoT struct {
	// Host name of the credentials provider (aws iot describe-endpoint --endpoint-type iot:CredentialProvider).
	Endpoint string `yaml:"endpoint" required:"true" example:"c123.credentials.iot.eu-central-1.amazonaws.com"`
	// Role alias to assume.
	RoleAlias string `yaml:"role_alias" required:"true" pattern:"^[a-zA-Z0-9_=,@-]{1,128}$" hint:"the alias's name, not its ARN" example:"cameras"`
	// Name of the thing.
	ThingName string `yaml:"thing_name" required:"true" pattern:"^[a-zA-Z0-9:_-]{1,128}$" hint:"letters, digits, : _ and -, at most 128 characters" example:"front-gate"`
	// PEM file with the thing's certificate.
	Certificate string `yaml:"certificate" required:"true" example:"thing.cert.pem"`
	// PEM file with the private key of the certificate.
	PrivateKey string `yaml:"private_key" required:"true" example:"thing.key.pem"`
	// PEM file with the certificate authorities to trust, instead of the system's, for the credentials provider.
	CAFile string `yaml:"ca_file" example:"AmazonRootCA1.pem"`
}

// Defaults apply to every channel that does not set the key itself.
type Defaults struct {
	// Role of channels.
	Role Role `yaml:"role" default:"master" enum:"master,viewer"`
	// Source of master channels.
	Source string `yaml:"source" example:"gate"`
	// Create channels that do not exist.
	Create bool `yaml:"create" default:"false"`
	// How long the service keeps a message that cannot be delivered yet, on channels that create makes.
	MessageTTL time.Duration `yaml:"message_ttl" default:"1m" min:"5s" max:"2m"`
	// Tags of channels that create makes.
	Tags map[string]string `yaml:"tags" example:"site: yard" pattern:"^[a-zA-Z0-9 _.:/=+@-]{1,128}$" hint:"letters, digits, spaces and _.:/=+@-, at most 128 characters"`
	// Whether the media of a channel goes to a Kinesis video stream: auto stores it when the channel is configured for
	// it, on makes it a mistake when the channel is not, off never stores it. While storage is on, the service refuses
	// viewers of the master itself. auto and on cost one control-plane call when the agent starts.
	Storage Storage `yaml:"storage" default:"auto" enum:"auto,on,off"`
	// Viewers at the same time on each master channel.
	MaxViewers int `yaml:"max_viewers" default:"10" min:"1" max:"1000"`
}

// Source is one camera, or another source of video and audio.
type Source struct {
	// What to play: rtsp://HOST[:PORT]/PATH or, with TLS, rtsps://, a camera;
	// v4l2:/dev/video0?size=1280x720&rate=30&alsa=default, a camera of this host with a microphone;
	// libcamera:?size=1280x720, a Raspberry Pi's camera; exec:COMMAND, the standard output of a command (H.264 or H.265
	// byte stream, IVF, Ogg, MPEG-TS or fragmented MP4; there is no shell); file:PATH, an MP4, H.264 or Ogg file in a
	// loop; rtp:PATH, incoming RTP as an SDP file describes it; mpegts://HOST:PORT, an incoming transport stream over
	// UDP; testpattern, a moving picture with a clock and a tone. The URL may hold user and password; username and
	// password_file are better.
	URL string `yaml:"url" required:"true" example:"rtsp://192.0.2.10:554/stream1,v4l2:/dev/video0,file:/srv/video/loop.mp4,testpattern"`
	// The same picture, smaller: a stream of the same kind, with the same user and password, for viewers whose path is
	// too narrow for url, or who cannot decode it. Each viewer is moved between the two as its path allows, without a
	// gap. 300 to 800 kbit/s and a key frame every second or two work well. Its audio is not used.
	Sub string `yaml:"sub" example:"rtsp://192.0.2.10:554/stream2,testpattern:?size=320x180"`
	// ONVIF device service of an rtsp:// camera, with the same user and password. The camera is asked for a key frame
	// when a viewer needs one. kvsagent sources discover shows the URL.
	ONVIF string `yaml:"onvif" example:"http://192.0.2.10/onvif/device_service"`
	// Arguments of the command of exec:, each passed on as it is, without quoting.
	Args []string `yaml:"args" example:"-f"`
	// Environment variables of the command of exec:, besides PATH, HOME, USER, LANG, LC_*, TZ, TMPDIR and KVSAGENT_*.
	// It gets no others of the agent's.
	Env map[string]string `yaml:"env" example:"LIBVA_DRIVER_NAME: iHD" pattern:"^[a-zA-Z_][a-zA-Z0-9_]*$" hint:"a variable's name"`
	// The command of exec: makes key frames on request. It gets a pipe as file descriptor 3 (KVSAGENT_CONTROL_FD=3);
	// each line on it is a request: keyframe, at most two a second. Viewers who have lost the picture then need not
	// wait for the next key frame.
	Control bool `yaml:"control" default:"false"`
	// User name at the camera.
	Username string `yaml:"username" example:"viewer"`
	// Password at the camera.
	Password Secret `yaml:"password"`
	// File that holds the password at the camera.
	PasswordFile string `yaml:"password_file" example:"gate.password"`
	// How the packets of an rtsp:// camera arrive: tcp, in the RTSP connection; udp; multicast, one stream for all who
	// watch the camera; http, for networks that let nothing else through.
	Transport string `yaml:"transport" default:"tcp" enum:"tcp,udp,multicast,http"`
	// SHA-256 of the camera's certificate, for rtsps:// cameras with a self-signed certificate. kvsagent prints it when
	// it is missing.
	Fingerprint string `yaml:"fingerprint" pattern:"^([0-9a-fA-F]{2}:?){31}[0-9a-fA-F]{2}$" hint:"64 hex digits, with or without colons"`
	// Allow an rtsp:// camera to request the password in clear text (basic authentication).
	BasicAuth bool `yaml:"basic_auth" default:"false"`
	// Audio in a codec that browsers cannot play, such as AAC: pass leaves it out and logs that, transcode converts it
	// to Opus with ffmpeg. off leaves out all audio.
	Audio Audio `yaml:"audio" default:"pass" enum:"pass,transcode,off"`
	// What viewers see while the source is away: slate, a picture that says so, or freeze, the last picture.
	Offline Offline `yaml:"offline" default:"slate" enum:"slate,freeze"`
	// Privacy switch: while this file exists the source is not opened, and viewers see a picture that says so.
	PrivacyFile string `yaml:"privacy_file" example:"/run/kvsagent/gate.privacy"`
	// Hours of each day, by the clock of this host, in which the source is not opened.
	PrivacyHours []string `yaml:"privacy_hours" pattern:"^([01][0-9]|2[0-3]):[0-5][0-9]-(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$" hint:"from and to, such as 22:00-06:00" example:"22:00-06:00"`
	// Keep the source running when nobody watches: the first picture comes sooner, but the camera's stream is always
	// open.
	KeepWarm bool `yaml:"keep_warm" default:"false"`
	// How long the source keeps running after the last viewer has gone.
	Linger time.Duration `yaml:"linger" default:"10s" max:"24h"`
}

// Audio says what happens to a source's audio.
type Audio string

// The ways to handle audio.
const (
	AudioPass      Audio = "pass"
	AudioTranscode Audio = "transcode"
	AudioOff       Audio = "off"
)

// Offline says what viewers see while a source is away.
type Offline string

// The things to see.
const (
	OfflineSlate  Offline = "slate"
	OfflineFreeze Offline = "freeze"
)

// Channel is one signaling channel and our role in it.
type Channel struct {
	// Name of the channel at KVS, when it is not the key.
	ChannelName string `yaml:"channel_name" pattern:"^[a-zA-Z0-9_.-]{1,256}$" hint:"letters, digits, _ . and -, at most 256 characters" example:"front-gate"`
	// master shows the source to viewers; viewer watches the channel's master. Left out, it is defaults.role.
	Role Role `yaml:"role" enum:"master,viewer"`
	// Name of an entry under sources: what we send. Left out, it is defaults.source for a master and nothing for a
	// viewer.
	Source string `yaml:"source" example:"gate"`
	// Create the channel if it does not exist. Left out, it is defaults.create.
	Create bool `yaml:"create"`
	// How long the service keeps a message that cannot be delivered yet, if we create the channel. Left out, it is
	// defaults.message_ttl.
	MessageTTL time.Duration `yaml:"message_ttl" min:"5s" max:"2m"`
	// Tags of the channel, if we create it. Left out, they are defaults.tags.
	Tags map[string]string `yaml:"tags" example:"site: yard" pattern:"^[a-zA-Z0-9 _.:/=+@-]{1,128}$" hint:"letters, digits, spaces and _.:/=+@-, at most 128 characters"`
	// Whether the media goes to a Kinesis video stream. It needs a source with H.264 and Opus. Left out, it is
	// defaults.storage.
	Storage Storage `yaml:"storage" enum:"auto,on,off"`
	// Client IDs of viewers that we, the master, offer to instead of waiting for their offers.
	OfferTo []string `yaml:"offer_to" pattern:"^[a-zA-Z0-9_.-]{1,256}$" hint:"letters, digits, _ . and -, at most 256 characters" example:"tablet"`
	// Our client ID as a viewer. Left out, it is derived from the host's name and the key.
	ClientID string `yaml:"client_id" pattern:"^[a-zA-Z0-9_.-]{1,256}$" hint:"letters, digits, _ . and -, at most 256 characters" example:"tablet"`
	// As a viewer, wait for the master's offer instead of making one.
	WaitForOffer bool `yaml:"wait_for_offer" default:"false"`
	// Viewers at the same time on a master channel. Left out, it is defaults.max_viewers.
	MaxViewers int `yaml:"max_viewers" min:"1" max:"1000"`
}

// Role is our role in a signaling channel.
type Role string

// The roles.
const (
	Master Role = "master"
	Viewer Role = "viewer"
)

// Storage says whether media goes to a Kinesis video stream.
type Storage string

// The storage modes.
const (
	StorageAuto Storage = "auto"
	StorageOn   Storage = "on"
	StorageOff  Storage = "off"
)

// WebRTC says how media travels.
type WebRTC struct {
	// STUN and TURN servers to use besides those of KVS.
	ICEServers []ICEServer `yaml:"ice_servers"`
	// Use the TURN servers of KVS. Without them, viewers that need a relay cannot connect, and each viewer costs one
	// KVS call and two allocations less.
	KVSTURN bool `yaml:"kvs_turn" default:"true"`
	// all uses every path; no-host hides this host's own addresses from viewers and shows only those that STUN and TURN
	// servers see; relay sends everything through TURN.
	ICETransportPolicy string `yaml:"ice_transport_policy" default:"all" enum:"all,no-host,relay"`
	// One UDP port for all viewers, for firewalls that open ports by number; 0 takes a free one for each.
	UDPPort int `yaml:"udp_port" default:"0" min:"0" max:"65535"`
	// Public addresses of this host behind a one-to-one NAT, offered in place of its own.
	NAT1To1 []netip.Addr `yaml:"nat_1to1" example:"198.51.100.7"`
	// Also accept TCP connections of viewers on this port, for those whose networks let no UDP through; 0 accepts none.
	TCPPort int `yaml:"tcp_port" default:"0" min:"0" max:"65535"`
	// Interfaces whose addresses viewers are told, such as eth0 or wl*. Left out, it is all but those of containers,
	// virtual machines and tunnels: docker*, br-*, virbr*, veth*, tun* and the like. Packets that arrive on the others
	// are answered all the same.
	Interfaces []string `yaml:"interfaces" pattern:"^[a-zA-Z0-9_.:@*?-]{1,15}$" hint:"an interface's name; * and ? stand for any characters" example:"eth0,wl*"`
	// Networks that those addresses must be in. Left out, it is all.
	Addresses []netip.Prefix `yaml:"addresses" example:"192.168.1.0/24"`
	// IP versions to use.
	IP string `yaml:"ip" default:"both" enum:"both,ipv4,ipv6"`
	// Addresses that packets may be sent to because a viewer names them: on-link, those of the internet and of the
	// networks that this host is in; public, those of the internet only; all, those of every network that this host has
	// a route to. A viewer that reaches this host first is answered in any case, so viewers in another network of the
	// same site need no other setting.
	Remote string `yaml:"remote" default:"on-link" enum:"on-link,public,all"`
	// Look up names of the local network (.local, mDNS), which browsers send in place of their addresses. Without it,
	// the browser must reach this host first.
	MDNS bool `yaml:"mdns" default:"false"`
	// HTTP proxy to reach TURN servers over TCP and TLS: http://[USER:PASSWORD@]HOST:PORT or https://, or off. Left
	// out, HTTPS_PROXY and NO_PROXY in the environment apply, as for the signaling service.
	Proxy Secret `yaml:"proxy" example:"http://192.0.2.1:3128"`
	// File that holds the value of proxy.
	ProxyFile string `yaml:"proxy_file" example:"proxy.url"`
}

// ICEServer is one STUN or TURN server.
type ICEServer struct {
	// stun:HOST[:PORT], turn:HOST[:PORT][?transport=udp|tcp] or turns:HOST[:PORT][?transport=udp|tcp], which is DTLS
	// or, by default, TLS. Each TURN URL costs its server one allocation for each viewer; of KVS's own, one over UDP
	// and one over TLS are used.
	URLs []string `yaml:"urls" required:"true" example:"turn:turn.example.org:3478?transport=udp"`
	// User name at a TURN server.
	Username string `yaml:"username"`
	// Password at a TURN server.
	Credential Secret `yaml:"credential"`
	// File that holds the password at a TURN server.
	CredentialFile string `yaml:"credential_file" example:"turn.password"`
}

// Limits protect this host. A remote that exceeds one of them loses its connection or is ignored, and nobody else
// notices.
type Limits struct {
	// A viewer that has not connected by then is dropped.
	SetupTimeout time.Duration `yaml:"setup_timeout" default:"20s" min:"1s" max:"10m"`
	// Viewers of one channel that may be connecting at the same time.
	MaxPending int `yaml:"max_pending" default:"4" min:"1" max:"1000"`
	// Longest session of one viewer; 0 is no limit.
	MaxSession time.Duration `yaml:"max_session" default:"0s"`
	// How long a connected viewer may stay while there is neither video nor audio for it; 0 is no limit. A restart of a
	// camera takes less.
	IdleTimeout time.Duration `yaml:"idle_timeout" default:"5m" max:"24h"`
	// How often viewers of one channel may offer. A client's newest offer beyond that is held until the client may
	// offer again; any other is ignored.
	Offers OfferLimits `yaml:"offers"`
	// What viewers may send through the signaling channel.
	Signaling SignalingLimits `yaml:"signaling"`
	// What a viewer may send over its connection.
	Inbound InboundLimits `yaml:"inbound"`
	// What a viewer may do with data channels. The agent sends only notices on them, such as why a viewer is refused;
	// many clients open one by habit.
	DataChannels DataChannelLimits `yaml:"data_channels"`
}

// OfferLimits are token buckets: a burst, and then a steady rate.
type OfferLimits struct {
	// Offers per second, of all clients of a channel together.
	PerSecond int `yaml:"per_second" default:"5" min:"1" max:"100"`
	// Burst of offers, of all clients of a channel together.
	Burst int `yaml:"burst" default:"10" min:"1" max:"1000"`
	// Time between two offers of one client.
	ClientEvery time.Duration `yaml:"client_every" default:"2s" min:"100ms" max:"30s"`
	// Burst of offers of one client.
	ClientBurst int `yaml:"client_burst" default:"3" min:"1" max:"20"`
}

// SignalingLimits apply to each client of a channel.
type SignalingLimits struct {
	// Length of a session description. The service itself accepts about 7500 bytes.
	SDPBytes int `yaml:"sdp_bytes" default:"32768" min:"8192" max:"262144"`
	// Media sections of a session description.
	MediaSections int `yaml:"media_sections" default:"8" min:"2" max:"64"`
	// Candidates of a session, until its next ICE restart.
	Candidates int `yaml:"candidates" default:"64" min:"8" max:"1000"`
	// Candidates that are kept when they arrive before their description.
	EarlyCandidates int `yaml:"early_candidates" default:"32" min:"1" max:"1000"`
	// How long those are kept while there is no session.
	EarlyLife time.Duration `yaml:"early_life" default:"20s" min:"1s" max:"5m"`
}

// InboundLimits apply to each viewer.
type InboundLimits struct {
	// RTP streams of media that we asked for.
	Streams int `yaml:"streams" default:"8" min:"1" max:"100"`
	// Kilobits per second of unrequested media, averaged over five seconds, above which the log says so once. It is
	// thrown away in any case.
	Kilobits int `yaml:"kilobits" default:"256" min:"16" max:"100000"`
	// RTCP packets per second, averaged over ten seconds. A browser on a bad path sends 150.
	RTCP int `yaml:"rtcp" default:"400" min:"20" max:"10000"`
	// Key frame requests per second, averaged over ten seconds. The agent acts on one a second for each viewer, and
	// asks the source at most twice a second.
	KeyFrames int `yaml:"key_frames" default:"50" min:"5" max:"1000"`
}

// DataChannelLimits apply to each viewer.
type DataChannelLimits struct {
	// Channels that the viewer may open.
	Count int `yaml:"count" default:"4" min:"1" max:"100"`
	// Length of a message.
	MessageBytes int `yaml:"message_bytes" default:"16384" min:"256" max:"262144"`
	// Messages per second.
	Messages int `yaml:"messages" default:"100" min:"1" max:"10000"`
	// Bytes per second.
	Bytes int `yaml:"bytes" default:"262144" min:"1024" max:"16777216"`
}

// Status is the port that shows the state of the agent.
type Status struct {
	// Address to listen on, unix:PATH for a socket that only this user and its group can open, or off. Beyond loopback
	// it needs users, or open.
	Listen string `yaml:"listen" default:"127.0.0.1:9780" example:"127.0.0.1:9780,unix:/run/kvsagent/status.sock,off"`
	// Who may log in, each with the bcrypt hash of the password, as kvsagent hash and htpasswd -B print it. Without
	// users whoever reaches the port sees the pictures. /healthz asks for no login.
	Users map[string]Secret `yaml:"users" example:"anna: $2y$10$..." pattern:"^[a-zA-Z0-9_.@-]{1,64}$" hint:"letters, digits, _ . @ and -"`
	// Certificate for HTTPS. Without it passwords and pictures can be read on their way.
	TLS *TLS `yaml:"tls"`
	// Let everybody who reaches an address beyond loopback in, without a login.
	Open bool `yaml:"open" default:"false"`
	// Address, or unix:PATH, that serves /metrics, /healthz and /readyz and nothing else, without a login.
	MetricsListen string `yaml:"metrics_listen" example:"0.0.0.0:9781"`
	// Host names, besides localhost and IP addresses, under which browsers may reach the port.
	Hosts []string `yaml:"hosts" pattern:"^[a-zA-Z0-9]([a-zA-Z0-9.-]{0,251}[a-zA-Z0-9])?$" hint:"a host name without scheme and port" example:"gate.example.org"`
	// Go profiles of the running agent under /debug/pprof/, for requests from this host only.
	Pprof bool `yaml:"pprof" default:"false"`
}

// TLS is a certificate and its key.
type TLS struct {
	// PEM file with the certificate, and those between it and its authority.
	Certificate string `yaml:"certificate" required:"true" example:"status.cert.pem"`
	// PEM file with the private key of the certificate.
	PrivateKey string `yaml:"private_key" required:"true" example:"status.key.pem"`
}

// Off reports whether the status port is off.
func (s Status) Off() bool { return s.Listen == "off" }

// Log says what is logged to standard error.
type Log struct {
	// Lowest level that is logged.
	Level string `yaml:"level" default:"info" enum:"debug,info,warn,error"`
	// text for people, json for machines.
	Format string `yaml:"format" default:"text" enum:"text,json"`
}
