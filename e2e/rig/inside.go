package rig

import (
	"crypto/rand"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"
)

// Home is the address of a host that is alone on its network. What it sends elsewhere leaves, and nobody hears it.
const Home = "10.9.0.1"

// insideEnv names the test that runs in a namespace.
const insideEnv = "KVSAGENT_E2E_INSIDE"

// Inside reports whether the test runs in a network namespace of its own: with loopback, home, and netfilter rules of its own. If it does not, inside has the
// whole test run again in a new one, and takes over how that went.
func Inside(t testing.TB, limit time.Duration) bool {
	t.Helper()
	if os.Getenv(insideEnv) == t.Name() {
		return true
	}
	for _, program := range []string{"ip", "nft"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("%v; hint: apt-get install iproute2 nftables", err)
		}
	}
	name := "kvs-" + strings.ToLower(rand.Text()[:8])
	if out, err := exec.Command("ip", "netns", "add", name).CombinedOutput(); err != nil {
		t.Skipf("no network namespace can be made: %v: %s", err, out)
	}
	t.Cleanup(func() { _ = exec.Command("ip", "netns", "del", name).Run() })
	for _, command := range []string{
		"link set lo up", "link add eth0 type veth peer name far", "link set far up", "link set eth0 up", "addr add " + Home + "/24 dev eth0",
		"neigh add 10.9.0.254 lladdr 02:00:00:00:00:01 dev eth0 nud permanent", "route add default via 10.9.0.254",
	} {
		if _, stderr, code := Run(t, 10*time.Second, Environment(), "ip", append([]string{"-n", name}, strings.Fields(command)...)...); code != 0 {
			t.Fatalf("ip %s: %s", command, stderr)
		}
	}
	p := Start(t, append(os.Environ(), insideEnv+"="+t.Name(), binaryEnv+"="+Binary), "ip", "netns", "exec", name,
		os.Args[0], "-test.run", "^"+t.Name()+"$", "-test.v", "-test.timeout", limit.String())
	code := p.Wait(t, limit+10*time.Second)
	for _, m := range regexp.MustCompile(`(?m)^ +\w+_test\.go:\d+: (.*)$`).FindAllStringSubmatch(p.Stdout.String(), -1) {
		t.Log(m[1])
	}
	if code != 0 {
		t.Fatal("it failed inside the namespace, see below")
	}
	if len(p.Stdout.Lines("--- PASS: "+t.Name())) == 0 {
		t.Skip("it was skipped inside the namespace")
	}
	return false
}
