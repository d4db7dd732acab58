package status

import (
	"crypto/sha256"
	"math"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"golang.org/x/crypto/bcrypt"
)

// login asks for a user and password (RFC 7617). A hash takes tens of milliseconds to compare, so who is in is
// remembered, one comparison runs at a time and rests for longer than it took, and who is wrong again and again waits:
// whoever tries passwords, from wherever, takes a quarter of one processor at the most.
type login struct {
	users map[string]string // bcrypt hashes
	next  http.Handler
	tries wrongTries
	queue chan struct{} // an element for each comparison that runs or waits
	turn  chan struct{} // an element while one runs

	mu sync.Mutex // guards in
	in map[[sha256.Size]byte]bool
}

const (
	queued     = 16  // comparisons, with the one that runs
	restFor    = 3   // times as long as a comparison took
	remembered = 256 // logins
)

// unknown takes as long to compare as the hash of a user who exists.
var unknown = sync.OnceValue(func() []byte {
	hash, _ := bcrypt.GenerateFromPassword([]byte("nobody"), bcrypt.DefaultCost) // it fails for long passwords alone
	return hash
})

// withLogin lets in who logs in; without users, everybody.
func withLogin(o Options, next http.Handler) http.Handler {
	if len(o.Users) == 0 {
		return next
	}
	return &login{users: o.Users, next: next, queue: make(chan struct{}, queued), turn: make(chan struct{}, 1),
		in: map[[sha256.Size]byte]bool{}, tries: wrongTries{log: o.Log, from: map[netip.Prefix]*tries{}}}
}

// ServeHTTP implements http.Handler.
func (l *login) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/healthz" {
		if p, wait := l.refusal(r); p != nil {
			if wait > 0 {
				w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
			} else {
				w.Header().Set("WWW-Authenticate", `Basic realm="kvsagent", charset="UTF-8"`)
			}
			p.write(w)
			return
		}
	}
	l.next.ServeHTTP(w, r)
}

// refusal returns why a request is refused, or nil, and how long to wait before another.
func (l *login) refusal(r *http.Request) (*Problem, time.Duration) {
	who := &Problem{Status: http.StatusUnauthorized, Text: "log in with a user of status.users"}
	user, password, ok := r.BasicAuth()
	if !ok {
		return who, 0
	}
	key := sha256.Sum256([]byte(user + "\x00" + password))
	if l.remembers(key) {
		return nil, 0
	}
	from := remote(r)
	if wait := l.tries.wait(from); wait > 0 {
		return tooMany(), wait
	}
	select {
	case l.queue <- struct{}{}:
		defer func() { <-l.queue }()
	default:
		return &Problem{Status: http.StatusServiceUnavailable, Text: "too many logins are being looked at"}, time.Second
	}
	select {
	case l.turn <- struct{}{}:
	case <-r.Context().Done():
		return who, 0
	}
	if l.remembers(key) { // a page asks for several files at once
		<-l.turn
		return nil, 0
	}
	if wait := l.tries.wait(from); wait > 0 { // somebody of this address was wrong meanwhile
		<-l.turn
		return tooMany(), wait
	}
	began := time.Now()
	in := l.compare(user, password)
	time.AfterFunc(restFor*time.Since(began), func() { <-l.turn })
	if !in {
		wrongLogins.Add(1)
		l.tries.wrong(from)
		return who, 0
	}
	l.tries.right(from)
	l.remember(key)
	return nil, 0
}

func tooMany() *Problem {
	wrongLogins.Add(1)
	return &Problem{Status: http.StatusTooManyRequests, Text: "too many wrong logins from this address",
		Hint: "wait for as long as Retry-After says"}
}

func (l *login) compare(user, password string) bool {
	hash, known := l.users[user]
	if !known {
		hash = string(unknown())
	}
	return bcrypt.CompareHashAndPassword([]byte(hash), []byte(password)) == nil && known
}

func (l *login) remembers(key [sha256.Size]byte) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.in[key]
}

func (l *login) remember(key [sha256.Size]byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.in) >= remembered {
		clear(l.in)
	}
	l.in[key] = true
}
