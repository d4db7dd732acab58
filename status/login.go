package status

import (
	"crypto/sha256"
	"net/http"
	"sync"

	"golang.org/x/crypto/bcrypt"
)

// login asks for a user and password (RFC 7617). A hash takes tens of milliseconds to compare, so who is in is
// remembered, and few comparisons run at a time.
type login struct {
	users map[string]string // bcrypt hashes
	next  http.Handler
	turn  chan struct{} // an element for each comparison that runs

	mu sync.Mutex // guards in
	in map[[sha256.Size]byte]bool
}

const (
	comparisons = 2   // at a time
	remembered  = 256 // logins
)

// unknown takes as long to compare as the hash of a user who exists.
var unknown = sync.OnceValue(func() []byte {
	hash, _ := bcrypt.GenerateFromPassword([]byte("nobody"), bcrypt.DefaultCost) // it fails for long passwords alone
	return hash
})

// withLogin lets in who logs in; without users, everybody.
func withLogin(users map[string]string, next http.Handler) http.Handler {
	if len(users) == 0 {
		return next
	}
	return &login{users: users, next: next, turn: make(chan struct{}, comparisons), in: map[[sha256.Size]byte]bool{}}
}

// ServeHTTP implements http.Handler.
func (l *login) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	user, password, ok := r.BasicAuth()
	if r.URL.Path != "/healthz" && (!ok || !l.knows(r, user, password)) {
		w.Header().Set("WWW-Authenticate", `Basic realm="kvsagent", charset="UTF-8"`)
		(&Problem{Status: http.StatusUnauthorized, Text: "log in with a user of status.users"}).write(w)
		return
	}
	l.next.ServeHTTP(w, r)
}

func (l *login) knows(r *http.Request, user, password string) bool {
	key := sha256.Sum256([]byte(user + "\x00" + password))
	if l.remembers(key) {
		return true
	}
	select {
	case l.turn <- struct{}{}:
		defer func() { <-l.turn }()
	case <-r.Context().Done():
		return false
	}
	hash, known := l.users[user]
	if !known {
		hash = string(unknown())
	}
	if bcrypt.CompareHashAndPassword([]byte(hash), []byte(password)) != nil || !known {
		return false
	}
	l.remember(key)
	return true
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
