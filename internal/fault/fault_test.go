package fault

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
)

func TestContain(t *testing.T) {
	var log strings.Builder
	before := Panics()
	do := func() (err error) {
		defer Contain(slog.New(slog.NewTextHandler(&log, nil)), "source", func(e error) { err = e })
		panic("injected")
	}
	err := do()
	var f *Error
	if !errors.As(err, &f) || f.Where != "source" || !strings.Contains(err.Error(), "injected") {
		t.Errorf("the reason is %v", err)
	}
	if Panics() != before+1 || !strings.Contains(log.String(), "TestContain") {
		t.Errorf("%d panics, log %s", Panics()-before, log.String())
	}
	func() {
		defer Contain(slog.New(slog.DiscardHandler), "source", nil)
	}()
	if Panics() != before+1 {
		t.Error("the end of a part without a fault was counted")
	}
}
