package rtsp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/bluenviron/gortsplib/v5"
	"github.com/bluenviron/gortsplib/v5/pkg/base"
	"github.com/bluenviron/gortsplib/v5/pkg/description"
	"github.com/bluenviron/gortsplib/v5/pkg/format"
	"github.com/bluenviron/gortsplib/v5/pkg/liberrors"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"

	"github.com/kvsagent/kvsagent/media"
	"github.com/kvsagent/kvsagent/media/internal/depacket"
	"github.com/kvsagent/kvsagent/media/internal/es"
	"github.com/kvsagent/kvsagent/media/internal/lipsync"
)

const (
	maxMedias    = 8                // in the camera's SDP
	maxRedirects = 3                // on the same host
	leftMost     = 4                // parts of its SDP that cannot be read and are named
	keyNote      = 10 * time.Second // without a key frame, until the operator is told
	keyTimeout   = 15 * time.Second // for the first key frame; a hub would give up after 20 and know less
	stallMost    = time.Minute      // from one picture to the next, at any pace
	// From one packet of a picture to the next. Only pictures whose end is not known wait so long.
	quietMost = 150 * time.Millisecond
)

// hintProfile is the hint for H.264 that browsers cannot decode.
const hintProfile = "set the camera's H.264 profile to Baseline, or to one without B-frames, 10 bits and 4:2:2"

// hintOrder is the hint for packets that are not in decoding order.
const hintOrder = "set the camera's packetization mode to 1 (non-interleaved), or use its sub stream"

// hintKey is the hint for streams that nobody can join.
const hintKey = "set the camera's key frame (I-frame) interval to 2 seconds or less"

var _ media.Source = (*Source)(nil)

// Run plays the camera until ctx is done or something breaks, as media.Source requires. Its errors are of type *Error.
func (s *Source) Run(ctx context.Context, out media.Sink) error {
	u := s.url
	for range maxRedirects + 2 {
		next, err := s.session(ctx, u, out)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if wantsUDP(err) && s.way() == TCP && s.url.Scheme == "rtsp" {
			s.overUDP.Store(true)
			continue
		}
		if next == nil {
			return err
		}
		u = next
	}
	return s.refuse("describe", fmt.Errorf("more than %d redirects", maxRedirects), "check the path after the host")
}

// session is one connection to the camera. After run it is finished.
type session struct {
	s      *Source
	client *gortsplib.Client
	out    media.Sink
	video  stream
	audio  stream // nil when there is no sound

	rates    depacket.Rates // of G.711, by the last answer with an SDP
	login    *login
	renewed  bool         // the camera has a new nonce, and the password may be tried once more
	request  base.Request // the last one: its method and its transport
	left     []string     // of the description, since the library does not read it
	avSync   avSync
	mu       sync.Mutex  // one packet at a time: over UDP each track has its own reader
	withheld bool        // the camera wants the password in clear text
	signed   bool        // the last request had a login
	loggedIn bool        // the camera accepted it
	redirect string      // Location of the last answer that had one
	playing  bool        // PLAY was answered
	pace     pace        // of the pictures
	keys     keys        // of the pictures
	stall    *time.Timer // runs out when no video packet comes
	keyframe *time.Timer // runs out when no key frame comes
	quiet    *time.Timer // runs out when no packet follows a picture that is held back
	over     bool        // a fault that more pictures do not cure
	failed   chan error  // from the packet callbacks; the first one counts
	faults   faults
	suspects suspicion
}

// session connects, plays and cleans up. It returns a URL when the camera redirects to another path on its host.
func (s *Source) session(ctx context.Context, u *base.URL, out media.Sink) (*base.URL, error) {
	ss := &session{s: s, out: out, login: newLogin(s.url.User), failed: make(chan error, 1), faults: faults{log: s.log}}
	sniffer := &sniffer{}
	ss.client = s.newClient(ss, u, sniffer)
	if err := ss.client.Start(); err != nil {
		return nil, s.fail("connect", err)
	}

	defer ss.client.Close()

	// The client takes no context: closing it interrupts it.
	told := make(chan struct{})
	untell := context.AfterFunc(ctx, func() { defer close(told); ss.client.Close() })
	defer func() {
		if !untell() {
			<-told
		}
	}()

	err := ss.run(ctx, u)
	ss.client.Close() // the callbacks are over: their fields may be read
	if ss.redirect != "" && !ss.playing {
		return s.follow(u, ss.redirect)
	}
	if e, ok := errors.AsType[*Error](err); ok && ss.loggedIn && errors.Is(err, errPassword) {
		e.Err, e.Hint, e.slow = errStale, "", false
	}
	if ss.withheld && err != nil {
		return nil, s.refuse("login", errBasic,
			"set the camera's RTSP login to digest, use rtsps://, or set basic_auth: true for this source")
	}
	if answer := sniffer.answer(); err != nil && answer != "" && s.plain() {
		return nil, s.refuse("connect", fmt.Errorf("%w, but %q", errNotRTSP, answer),
			"this port speaks something else; RTSP is on 554 by default")
	}
	return nil, err
}

func (s *Source) newClient(ss *session, u *base.URL, sniffer *sniffer) *gortsplib.Client {
	protocol, tunnel := s.way().library()
	return &gortsplib.Client{
		Scheme: u.Scheme, Host: u.Host, Protocol: &protocol, Tunnel: tunnel,
		TLSConfig: tlsConfig(u.Hostname(), s.fingerprint),
		// Our own timers come first: they know the interval of the pictures, and each step of the handshake has its
		// limit.
		ReadTimeout: stallMost + max(s.timeout, time.Second), WriteTimeout: s.timeout,
		UserAgent: "kvsagent",
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			ctx, cancel := context.WithTimeout(ctx, s.timeout)
			defer cancel()
			conn, err := s.dial(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return sniffer.wrap(conn), nil
		},
		OnRequest:  ss.guardBasic,
		OnResponse: ss.answered,
		// They are answered as OPTIONS are, which is all that the library answers: the rest is news that we know.
		OnServerRequest: func(req *base.Request) { req.Method = base.Options },
		AnyPortEnable:   true, // routers of cameras and cameras themselves send from others than they say
		OnPacketsLost:   func(n uint64) { ss.faults.count(fmt.Errorf("%d packets lost", n)) },
		OnDecodeError:   func(err error) { ss.suspects.fault(err); ss.faults.count(err) },
	}
}

// guardBasic withholds the password when others on the network could read it, unless the operator has allowed that;
// then it logs a warning, once.
func (ss *session) guardBasic(req *base.Request) {
	ss.login.sign(req)
	ss.request = base.Request{Method: req.Method, URL: req.URL,
		Header: base.Header{"Transport": req.Header["Transport"]}}
	v := req.Header["Authorization"]
	ss.signed = len(v) == 1
	if len(v) != 1 || !strings.HasPrefix(v[0], "Basic ") || ss.s.url.Scheme == "rtsps" {
		return
	}
	if !ss.s.basic && !loopback(ss.s.url.Hostname()) {
		delete(req.Header, "Authorization")
		ss.withheld = true
		return
	}
	ss.s.once("rtsp password goes over the network in clear text; hint: set the camera's RTSP login to digest",
		"url", ss.s.address())
}

// answered sees each answer before the library does.
func (ss *session) answered(res *base.Response) {
	ss.loggedIn = ss.loggedIn || ss.signed && res.StatusCode == base.StatusOK
	if res.StatusCode == base.StatusUnauthorized {
		ss.renewed = ss.login.challenged(res) && ss.signed
	}
	switch ss.request.Method {
	case base.Options:
		// Some cameras do not know it, and everything else all the same.
		if res.StatusCode >= 400 && res.StatusCode != base.StatusUnauthorized {
			res.StatusCode, res.StatusMessage = base.StatusOK, "OK"
		}
	case base.Describe:
		ss.mendDescription(res)
	case base.Setup:
		mendTransport(res, ss.request.Header["Transport"])
	}
	ss.holdRedirect(res)
}

// mendDescription makes an answer to DESCRIBE readable for the library.
func (ss *session) mendDescription(res *base.Response) {
	for _, name := range []string{"Content-Base", "Content-Location"} {
		v := res.Header[name]
		if len(v) == 0 || len(v) == 1 && strings.HasPrefix(v[0], "/") {
			continue
		}
		if u, err := base.ParseURL(v[0]); err != nil || u.Host == "" || len(v) > 1 {
			delete(res.Header, name) // the request's URL is what it means
		}
	}
	if len(res.Body) == 0 {
		return
	}
	res.Body, ss.left = mended(res.Body, ss.request.URL.Scheme+"://"+ss.request.URL.Host)
	ss.rates = depacket.ReadRates(res.Body)
}

// mendTransport writes into an answer to SETUP what it leaves out, as it was asked for: a camera that says OK means it.
// One that answers with UDP when it was asked for TCP wants UDP.
func mendTransport(res *base.Response, asked base.HeaderValue) {
	if res.StatusCode != base.StatusOK || len(asked) != 1 {
		return
	}
	answer, tcp := strings.Join(res.Header["Transport"], ","), strings.Contains(asked[0], "interleaved=")
	switch {
	case tcp && strings.Contains(answer, "client_port"):
		res.StatusCode, res.StatusMessage = base.StatusUnsupportedTransport, "UDP alone"
	case answer == "", tcp && !strings.Contains(answer, "interleaved="):
		res.Header["Transport"] = asked
	}
}

// wantsUDP reports whether a camera has refused TCP for its packets.
func wantsUDP(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.Op == "setup" && errors.Is(e.Err, errTransport)
}

// again makes a request once more when the camera has refused it only for the age of its nonce.
func (ss *session) again(request func() error) error {
	err := request()
	var status liberrors.ErrClientBadStatusCode
	if errors.As(err, &status) && status.Code == base.StatusUnauthorized && (ss.renewed || ss.loggedIn) {
		ss.renewed = false
		return request()
	}
	return err
}

// loopback reports whether a host is this one, so that nothing crosses a network.
func loopback(host string) bool { return host == "localhost" || net.ParseIP(host).IsLoopback() }

// holdRedirect removes the Location of a redirect before the library sees it: the library would follow to any host, any
// number of times, and log in there with our password.
func (ss *session) holdRedirect(res *base.Response) {
	if res.StatusCode < base.StatusMovedPermanently || res.StatusCode > base.StatusUseProxy {
		return
	}
	if location := res.Header["Location"]; len(location) == 1 {
		ss.redirect = location[0]
	}
	delete(res.Header, "Location")
}

// follow handles a redirect: it returns another path on the same host and port, or an error.
func (s *Source) follow(from *base.URL, location string) (*base.URL, error) {
	to, err := base.ParseURL(location)
	if err == nil && to.Scheme == from.Scheme && sameHost(to, from) {
		to.User = from.User
		return to, nil
	}
	if err != nil {
		return nil, s.refuse("describe", errors.New("the camera redirects to something that is not a URL"),
			"check the path after the host")
	}
	return nil, s.refuse("describe",
		fmt.Errorf("the camera redirects to another host, %s", printable(to.CloneWithoutCredentials().String())),
		"user and password are not sent there; if it is right, make it the URL of this source")
}

func sameHost(a, b *base.URL) bool {
	port := func(u *base.URL) string {
		if p := u.Port(); p != "" {
			return p
		}
		if u.Scheme == "rtsps" {
			return "322"
		}
		return "554"
	}
	return strings.EqualFold(a.Hostname(), b.Hostname()) && port(a) == port(b)
}

// run takes the steps of RFC 2326 and then waits for the end.
func (ss *session) run(ctx context.Context, u *base.URL) error {
	var desc *description.Session
	// This includes connecting, and up to three requests.
	err := ss.within(2*ss.s.timeout, func() (err error) {
		return ss.again(func() (err error) {
			desc, _, err = ss.client.Describe(u)
			return err
		})
	})
	if err != nil {
		return ss.s.fail(step(err, "describe"), err)
	}
	// The connection stays the one we made, and requests name its host whatever the SDP or Content-Base says.
	address := desc.BaseURL.Clone()
	address.Scheme, address.Host, address.User = u.Scheme, u.Host, u.User
	desc.BaseURL = address

	if len(ss.left) > 0 {
		what := list(ss.left[:min(len(ss.left), leftMost)])
		if more := len(ss.left) - leftMost; more > 0 {
			what += fmt.Sprintf(" and %d more", more)
		}
		media.Note(ss.out, "left out of the camera's description, since it cannot be read: "+what)
		ss.s.once("a part of the camera's description cannot be read and is left out", "url", ss.s.address(),
			"what", what)
	}
	if err := ss.setup(desc); err != nil {
		return ss.s.fail("setup", err)
	}
	if s := ss.s; s.overUDP.Load() {
		media.Note(ss.out, "the camera refuses TCP, so its packets come over UDP; hint: set transport: udp")
		s.once("the camera refuses TCP, so its packets come over UDP; hint: set transport: udp", "url", s.address())
	}
	ss.announce()
	ss.watchRates()

	ss.stall, ss.keyframe = time.NewTimer(ss.pace.limit(ss.s.timeout)), time.NewTimer(keyNote)
	defer ss.stall.Stop()
	defer ss.keyframe.Stop()
	ss.quiet = time.NewTimer(quietMost)
	defer ss.quiet.Stop()
	err = ss.within(ss.s.timeout, func() error {
		return ss.again(func() error {
			_, err := ss.client.Play(nil)
			return err
		})
	})
	if err != nil {
		return ss.s.fail("play", err)
	}
	ss.playing = true
	return ss.wait(ctx)
}

// within limits the time of one step of the handshake: the library's own timeout is for silence while playing. It
// closes a client that takes longer.
func (ss *session) within(limit time.Duration, step func() error) error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	closed := make(chan struct{})
	stop := context.AfterFunc(ctx, func() { defer close(closed); ss.client.Close() })
	err := step()
	if stop() {
		return err
	}
	<-closed
	return os.ErrDeadlineExceeded
}

// step names the first step in errors of the connection itself, which the library makes at the first request.
func step(err error, otherwise string) string {
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
		return "connect"
	}
	if _, ok := errors.AsType[*net.DNSError](err); ok || errors.Is(err, context.DeadlineExceeded) {
		return "connect"
	}
	return otherwise
}

// wait returns when the session is over.
func (ss *session) wait(ctx context.Context) error {
	dead := make(chan error, 1)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer ss.client.Close()
	wg.Go(func() { dead <- ss.client.Wait() })

	e := &Error{Op: "receive", URL: ss.s.address()}
	for patience := keyTimeout - keyNote; ; {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-ss.failed:
			if errors.Is(err, es.ErrNoKey) {
				e.Err, e.Hint = err, hintKey
				return e
			}
			return ss.s.refuse("receive", err, hintProfile)
		case <-ss.quiet.C:
			ss.noMore()
			continue
		case <-ss.stall.C:
			e.Err = fmt.Errorf("no video packet for %v", ss.silence())
			e.Hint = "the camera or the network stands still"
		case <-ss.keyframe.C:
			if patience > 0 && ss.waitForKey(patience) {
				patience = 0
				continue
			}
			e.Hint, e.Err = ss.suspects.cause(ss.video.track().Codec)
			if e.Err == nil {
				e.Err, e.Hint = fmt.Errorf("no usable key frame for %v", keyTimeout), hintKey
			}
		case err := <-dead:
			return ss.s.fail("receive", err)
		}
		return e
	}
}

// silence returns how long the camera may be silent.
func (ss *session) silence() time.Duration {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	return ss.pace.limit(ss.s.timeout)
}

// waitForKey reports that there is no key frame yet, and waits for another d.
func (ss *session) waitForKey(d time.Duration) bool {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	if !ss.video.shown() {
		hint, cause := ss.suspects.cause(ss.video.track().Codec)
		if cause == nil {
			cause, hint = fmt.Errorf("no key frame for %v", keyNote), hintKey
		}
		media.Note(ss.out, fmt.Sprintf("no picture yet: %v; hint: %s", cause, hint))
		ss.keyframe.Reset(d)
	}
	return true
}

// setup selects a video and an audio track of the SDP and sets them up.
func (ss *session) setup(desc *description.Session) error {
	if len(desc.Medias) > maxMedias {
		return ss.s.refuse("describe", fmt.Errorf("the camera offers %d tracks", len(desc.Medias)),
			fmt.Sprintf("at most %d are taken; choose one stream by the path after the host", maxMedias))
	}
	if err := ss.setupVideo(desc); err != nil {
		return err
	}
	return ss.setupAudio(desc)
}

// setupVideo selects H.264 if there is any, since every browser plays it, or else the first codec that can be sent.
func (ss *session) setupVideo(desc *description.Session) error {
	var offered []string
	for _, h264 := range []bool{true, false} {
		for _, medi := range desc.Medias {
			for _, forma := range medi.Formats {
				if _, ok := forma.(*format.H264); ok != h264 || medi.IsBackChannel {
					continue
				}
				v, err := ss.newVideo(forma)
				if errors.Is(err, depacket.ErrInterleaved) {
					return ss.s.refuse("setup", err, hintOrder)
				}
				if h264 && err != nil {
					return ss.s.refuse("setup", err, hintProfile)
				}
				if err != nil || !v.track().Codec.Video() {
					offered = append(offered, codecName(forma))
					continue
				}
				ss.video = v
				return ss.ask(desc.BaseURL, medi, forma, &ss.avSync.picture, ss.videoPacket)
			}
		}
	}
	return ss.s.refuse("describe", fmt.Errorf("no video that can be sent: the camera offers %s", list(offered)),
		"set the video codec of this stream to H.264 in the camera, or use its sub stream")
}

func (ss *session) newVideo(forma format.Format) (stream, error) {
	f, ok := forma.(*format.H264)
	if !ok {
		return newCoded(forma, ss.showPicture, ss.announce)
	}
	v, err := newVideo(f)
	if err != nil {
		return nil, err
	}
	v.out, v.changed = ss.showPicture, ss.announce
	return v, nil
}

func (ss *session) setupAudio(desc *description.Session) error {
	var refused []string
	for _, medi := range desc.Medias {
		if medi.Type != description.MediaTypeAudio || medi.IsBackChannel {
			continue
		}
		for _, forma := range medi.Formats {
			ss.rates.Correct(forma)
			a, err := ss.newAudio(forma)
			if err != nil {
				refused = append(refused, err.Error())
				continue
			}
			ss.audio = a
			return ss.ask(desc.BaseURL, medi, forma, &ss.avSync.sound, ss.audioPacket)
		}
	}
	if refused != nil {
		media.Note(ss.out,
			fmt.Sprintf("no sound: browsers do not take %s; hint: set the camera's audio to Opus or G.711 (PCMU, "+
				"PCMA), or set audio: transcode", list(refused)))
		ss.s.once("source has no sound: its audio codec cannot be sent to browsers; "+
			"hint: set the camera's audio to Opus or G.711 (PCMU, PCMA), or set audio: transcode",
			"url", ss.s.address(), "codec", list(refused))
	}
	return nil
}

// newAudio accepts what viewers can get unchanged, and what a transcoder reads if there is one.
func (ss *session) newAudio(forma format.Format) (stream, error) {
	a, err := newAudio(forma)
	if err == nil {
		a.out = ss.playSound
		return a, nil
	}
	if ss.s.foreign {
		if c, err := newCoded(forma, ss.playSound, ss.announce); err == nil && es.Foreign(c.in.Codec) {
			return c, nil
		}
	}
	return nil, err
}

// ask sends SETUP for one track. clock gets its sender reports.
func (ss *session) ask(address *base.URL, medi *description.Media, forma format.Format, clock *lipsync.Clock,
	packet func(pkt *rtp.Packet, ticks int64, timed bool)) error {
	// The library would ask for no URL at all.
	if u, err := medi.URL(address); err != nil || u == nil {
		return ss.s.refuse("setup", fmt.Errorf("control attribute %q in the SDP makes no URL", printable(medi.Control)),
			"update the camera's firmware, or try another path")
	}
	err := ss.within(ss.s.timeout, func() error {
		return ss.again(func() error {
			_, err := ss.client.Setup(address, medi, 0, 0)
			return err
		})
	})
	if err != nil {
		return err
	}
	clock.Rate = forma.ClockRate()
	ss.client.OnPacketRTCP(medi, func(pkt rtcp.Packet) { ss.report(clock, pkt) })
	ss.client.OnPacketRTP(medi, forma, func(pkt *rtp.Packet) {
		ticks, ok := ss.client.PacketPTS(medi, pkt)
		packet(pkt, ticks, ok)
	})
	return nil
}

// announce tells the sink what is about to come.
func (ss *session) announce() {
	tracks := []media.Track{ss.video.track()}
	if ss.audio != nil {
		tracks = append(tracks, ss.audio.track())
	}
	ss.out.Tracks(tracks)
}

// videoPacket and audioPacket are called by the library's reader, one at a time. The packets of a track are timed from
// its first random access point on.
func (ss *session) videoPacket(pkt *rtp.Packet, ticks int64, timed bool) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	ss.pace.packet(pkt.Timestamp, time.Now())
	ss.stall.Reset(ss.pace.limit(ss.s.timeout))
	if !ss.video.shown() {
		ss.suspects.packet(pkt.Payload)
	}
	if !timed {
		return
	}
	if ss.over {
		return
	}
	ss.avSync.picture.Packet(pkt.SSRC)
	ss.judge(ss.video.packet(pkt, ticks, time.Now()))
	if ss.video.waiting() {
		ss.quiet.Reset(quietMost)
	}
}

// noMore passes on a picture that is held back until the next one begins, when that does not come.
func (ss *session) noMore() {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	if !ss.over {
		ss.judge(ss.video.flush())
	}
}

// judge acts on what the video made of a packet.
func (ss *session) judge(damage, fatal error) {
	if damage != nil {
		ss.faults.count(damage)
	}
	if ss.video.shown() {
		ss.keyframe.Stop()
	}
	if fatal != nil {
		ss.over = true
		select {
		case ss.failed <- fatal:
		default:
		}
	}
}

func (ss *session) audioPacket(pkt *rtp.Packet, ticks int64, timed bool) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	if !timed {
		return
	}
	ss.avSync.sound.Packet(pkt.SSRC)
	// Sound that is damaged costs nothing but itself.
	if damage, _ := ss.audio.packet(pkt, ticks, time.Now()); damage != nil {
		ss.faults.count(damage)
	}
}

func list(names []string) string {
	if len(names) == 0 {
		return "nothing"
	}
	return strings.Join(names, ", ")
}
