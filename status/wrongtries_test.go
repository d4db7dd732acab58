package status_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kvsagent/kvsagent/status"
	"golang.org/x/crypto/bcrypt"
)

// try asks for the page from an address, and returns the status and how long it says to wait.
func try(t *testing.T, h http.Handler, from, password string) (code int, wait time.Duration) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://127.0.0.1/api/v1/report", nil)
	r.RemoteAddr = from
	r.SetBasicAuth("anna", password)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if s := w.Header().Get("Retry-After"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Error(err)
		}
		wait = time.Duration(n) * time.Second
	}
	return w.Code, wait
}

// TestWrongLoginsWait: who tries passwords waits longer and longer, whatever the rest of an IPv6 address is. Others do
// not, nor who is in already.
func TestWrongLoginsWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		before := status.WrongLogins()
		h := status.Handler(status.Options{Report: house, Users: anna(t),
			Log: slog.New(slog.NewTextHandler(&log, nil))})
		if code, _ := try(t, h, "192.0.2.1:1000", "sesame"); code != 200 {
			t.Fatalf("the right password: %d", code)
		}
		for i := range 5 {
			if code, _ := try(t, h, fmt.Sprintf("192.0.2.1:%d", 1001+i), "wrong"); code != 401 {
				t.Fatalf("try %d: %d, want 401", i, code)
			}
		}
		for i, want := range []time.Duration{1, 2, 4, 8, 16, 32, 60, 60} {
			code, wait := try(t, h, "192.0.2.1:9", "right or wrong")
			if code != 429 || wait != want*time.Second {
				t.Fatalf("wait %d: %d and %v, want 429 and %d s", i, code, wait, want)
			}
			if code, _ := try(t, h, "192.0.2.1:1000", "sesame"); code != 200 {
				t.Fatalf("who was in is out: %d", code)
			}
			if code, _ := try(t, h, fmt.Sprintf("192.0.2.2:%d", i+1), "wrong"); i < 4 && code != 401 {
				t.Fatalf("another address: %d, want 401", code)
			}
			time.Sleep(wait)
			if code, _ := try(t, h, "192.0.2.1:9", "wrong"); code != 401 {
				t.Fatalf("after wait %d: %d, want 401", i, code)
			}
		}
		for i := range 5 {
			try(t, h, fmt.Sprintf("[2001:db8::%d]:1", i+1), "wrong")
		}
		if code, _ := try(t, h, "[2001:db8::ffff]:1", "wrong"); code != 429 {
			t.Errorf("a neighbour in the same network of IPv6: %d, want 429", code)
		}
		time.Sleep(3 * time.Minute)
		if code, _ := try(t, h, "192.0.2.1:9", "wrong"); code != 401 {
			t.Errorf("after a quiet time: %d, want 401", code)
		}
		if n := strings.Count(log.String(), "wrong logins"); n != 2 || !strings.Contains(log.String(), "192.0.2.1") {
			t.Errorf("the log has %d lines: %s", n, log.String())
		}
		if got := status.WrongLogins() - before; got < 20 {
			t.Errorf("%d were counted", got)
		}
	})
}

// TestWrongLoginsOfManyAddresses: comparisons rest in between, those that wait are few, and the addresses are bounded.
// Whoever asks whether the agent is alive gets an answer.
func TestWrongLoginsOfManyAddresses(t *testing.T) {
	h := status.Handler(status.Options{Report: house, Users: anna(t)})
	var wg sync.WaitGroup
	var mu sync.Mutex
	codes := map[int]int{}
	for i := range 3000 {
		wg.Go(func() {
			code, _ := try(t, h, fmt.Sprintf("10.%d.%d.1:1", i/256, i%256), "wrong")
			mu.Lock()
			defer mu.Unlock()
			codes[code]++
		})
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://127.0.0.1/healthz", nil))
	wg.Wait()
	if w.Code != 200 || codes[503] == 0 || codes[401] == 0 || codes[200] != 0 {
		t.Errorf("health %d, the others %v; want 200, and many 503", w.Code, codes)
	}
	if code, _ := try(t, h, "192.0.2.1:1", "sesame"); code != 200 {
		t.Errorf("the right password afterwards: %d", code)
	}
}

// TestPageLogsInOnce: a browser asks for the files of a page at once, each with the password, which is compared once.
func TestPageLogsInOnce(t *testing.T) {
	hash, err := bcrypt.GenerateFromPassword([]byte("sesame"), bcrypt.DefaultCost)
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if err := bcrypt.CompareHashAndPassword(hash, []byte("sesame")); err != nil {
		t.Fatal(err)
	}
	once := time.Since(began)
	h := status.Handler(status.Options{Report: house, Users: map[string]string{"anna": string(hash)}})
	began = time.Now()
	var wg sync.WaitGroup
	for range 12 {
		wg.Go(func() {
			if code, _ := try(t, h, "192.0.2.1:1", "sesame"); code != 200 {
				t.Errorf("a file of the page: %d", code)
			}
		})
	}
	wg.Wait()
	if took := time.Since(began); took > 20*once { // one by one they would take 45
		t.Errorf("twelve requests took %v, and one comparison %v", took, once)
	}
}
