package e2e

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/kvsagent/kvsagent/e2e/rig"
)

// aimedCandidates names hosts that the agent must not send to, in the offer and after it, over UDP and TCP.
func aimedCandidates(t *testing.T, s *siege) {
	c := rig.NewCaller(t, s.service, s.arn, "aims", rig.CallerOptions{Bare: true})
	hosts := []string{
		honestVictim, "127.0.0.1", "127.1.2.3", "0.0.0.0", "0.0.0.5", "169.254.169.254", "100.100.100.200",
		"168.63.129.16", "192.0.0.9", "224.0.0.251", "240.0.0.1",
		"255.255.255.255", "::1", "::", "fe80::1", "ff02::fb", "::ffff:127.0.0.1", "::ffff:169.254.169.254",
		"64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::1", "fd00:ec2::254",
		"fe80::1%eth0", "::ffff:7f00:1", "2002:7f00:1::", "64:ff9b::7f00:1", "64:ff9b:1::1", "::127.0.0.1", "fec0::1",
		"100::1", "2001:0:a9fe::1", "0177.0.0.1", "2130706433",
		"localhost", "metadata.google.internal", "x.local",
	}
	line := func(i int, host, rest string) string {
		return fmt.Sprintf("candidate:%d 1 %s %s %d typ host%s", i, "udp 2130706431", host, victim, rest)
	}
	var inside []string
	for i, host := range hosts {
		inside = append(inside, "a="+line(i+1, host, ""))
	}
	sdp := regexp.MustCompile(`a=candidate:.*\r\n`).ReplaceAllString(c.Offer(t), "")
	sdp = strings.Replace(sdp, "a=ice-ufrag:", strings.Join(inside[:15], "\r\n")+"\r\na=ice-ufrag:", 1)
	s.post(t, c.Raw, "SDP_OFFER", map[string]string{"type": "offer", "sdp": sdp})
	for i, host := range hosts {
		s.candidate(t, c.Raw, line(100+i, host, ""))
	}
	for i, kind := range []string{"passive", "active", "so"} {
		s.candidate(t, c.Raw, fmt.Sprintf("candidate:%d 1 tcp 2130706431 %s %d typ host tcptype %s", 200+i, rig.Home,
			victim, kind))
	}
	time.Sleep(3 * time.Second) // of checks
}

// candidateFlood sends more candidates than anybody has, for one session and for clients that have none.
func candidateFlood(t *testing.T, s *siege) {
	c := rig.NewCaller(t, s.service, s.arn, "candidates", rig.CallerOptions{Bare: true})
	s.post(t, c.Raw, "SDP_OFFER", map[string]string{"type": "offer", "sdp": c.Offer(t)})
	for i := range 5000 {
		s.candidate(t, c.Raw, fmt.Sprintf("candidate:%d 1 udp %d 198.51.100.%d %d typ host", i, 2130706431-i, 1+i%250,
			1024+i))
	}
	for i := range 100 {
		r := rig.DialRaw(t, s.service.URL(), s.arn, fmt.Sprintf("early-%d", i))
		for j := range 100 {
			s.candidate(t, r, fmt.Sprintf("candidate:%d 1 udp 1 198.51.100.1 %d typ host %s", j, 1024+j,
				strings.Repeat("x", 900)))
		}
		r.Conn.Close()
	}
}

// oddTexts are offers that the service carries and no client makes.
func oddTexts(t *testing.T, s *siege) {
	c := rig.NewCaller(t, s.service, s.arn, "texts", rig.CallerOptions{Bare: true})
	offer := c.Offer(t)
	many := func(line string, n int) string { return offer + strings.Repeat(line+"\r\n", n) }
	for i, sdp := range []string{
		many("m=video 9 X 96", 250), many("a=candidate:1 1 udp 1 198.51.100.1 9 typ host", 90), many("a=x", 1000),
		offer + "a=" + strings.Repeat("x", 4000) + "\r\n",
		regexp.MustCompile(`a=ice-ufrag:\S+`).ReplaceAllString(offer, "a=ice-ufrag:"+strings.Repeat("u", 1000)),
		regexp.MustCompile(`a=ice-pwd:\S+`).ReplaceAllString(offer, "a=ice-pwd:"+strings.Repeat("p", 21)),
		strings.ReplaceAll(offer, "a=fingerprint", "a=print"), "v=0", "", "v=0\r\n\x00\x1b[31m",
		strings.ReplaceAll(offer, "m=", "n="),
		strings.ReplaceAll(offer, "H264", "H265"), strings.ReplaceAll(offer, "a=mid:", "a=mid:-1"),
		strings.ReplaceAll(offer, "a=setup:actpass", "a=setup:holdconn"),
	} {
		s.post(t, rig.DialRaw(t, s.service.URL(), s.arn, fmt.Sprintf("text-%d", i)), "SDP_OFFER",
			map[string]string{"type": "offer", "sdp": sdp})
		time.Sleep(100 * time.Millisecond)
	}
	// No service carries this; a server in the way may.
	long, err := json.Marshal(map[string]string{"type": "offer", "sdp": many("a=x", 20_000)})
	if err != nil {
		t.Fatal(err)
	}
	c.Raw.Message("SDP_OFFER", string(long))
}

// restartFlood is one client that restarts ICE with each breath, and answers what nobody has offered.
func restartFlood(t *testing.T, s *siege) {
	c := s.join(t, "restarts", rig.CallerOptions{Channel: true})
	for i := range 200 {
		sdp := regexp.MustCompile(`a=ice-ufrag:\S+`).ReplaceAllString(c.Offer(t),
			fmt.Sprintf("a=ice-ufrag:restart%04d", i))
		s.post(t, c.Raw, "SDP_OFFER", map[string]string{"type": "offer", "sdp": sdp})
		s.post(t, c.Raw, "SDP_ANSWER", map[string]string{"type": "answer", "sdp": sdp})
		time.Sleep(10 * time.Millisecond)
	}
}

// offerFlood is forty clients with good offers that will never connect, again and again.
func offerFlood(t *testing.T, s *siege) {
	// Over which the refused are told.
	c := rig.NewCaller(t, s.service, s.arn, "offers", rig.CallerOptions{Bare: true, Channel: true})
	offer := regexp.MustCompile(`a=candidate:.*\r\n`).ReplaceAllString(c.Offer(t), "")
	offer = strings.Replace(offer, "t=0 0\r\n", "t=0 0\r\na=ice-options:trickle\r\n", 1)
	var clients []*rig.Raw
	for i := range 40 {
		clients = append(clients, rig.DialRaw(t, s.service.URL(), s.arn, fmt.Sprintf("offers-%d", i)))
	}
	most := 0
	for round := range 20 {
		for i, r := range clients {
			sdp := regexp.MustCompile(`a=ice-ufrag:\S+`).ReplaceAllString(offer,
				fmt.Sprintf("a=ice-ufrag:%04d%04d", round, i))
			s.post(t, r, "SDP_OFFER", map[string]string{"type": "offer", "sdp": sdp})
		}
		most = max(most, len(s.agent.Channel(t, "gate").Peers))
		time.Sleep(150 * time.Millisecond)
	}
	pending := 0
	for _, p := range s.agent.Channel(t, "gate").Peers {
		if p.FirstFrame.Connected == 0 {
			pending++
		}
	}
	t.Logf("800 offers of 40 clients: at most %d sessions, %d of them connecting", most, pending)
	if pending > 4 {
		t.Errorf("%d sessions are connecting, want limits.max_pending at most", pending)
	}
}
