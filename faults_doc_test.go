package kvsagent_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TestFaultsAreShown holds docs/faults.md: each fault has one row, and each test named there exists in the room that is
// named.
func TestFaultsAreShown(t *testing.T) {
	doc, err := os.ReadFile("docs/faults.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[int]int{}
	for line := range strings.Lines(string(doc)) {
		cells := strings.Split(line, "|")
		if len(cells) != 7 {
			continue
		}
		n, err := strconv.Atoi(strings.TrimSpace(cells[1]))
		if err != nil {
			continue
		}
		rows[n]++
		for part := range strings.SplitSeq(cells[5], ";") {
			room, tests, _ := strings.Cut(strings.TrimSpace(part), " ")
			if room == "-" {
				continue
			}
			for test := range strings.SplitSeq(tests, ",") {
				if test = strings.TrimSpace(test); !hasTest(t, room, test) {
					t.Errorf("fault %d: there is no %s in %s", n, test, room)
				}
			}
		}
	}
	for n := 1; n <= 120; n++ {
		if must := n <= 81 || n >= 98; rows[n] > 1 || must && rows[n] == 0 {
			t.Errorf("fault %d has %d rows", n, rows[n])
		}
	}
}

// hasTest looks for a test in the files of a room.
func hasTest(t *testing.T, room, test string) bool {
	t.Helper()
	if room == "netwatch" {
		room = "internal/netwatch"
	}
	files, err := filepath.Glob(filepath.Join(room, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	head := regexp.MustCompile(`(?m)^func ` + regexp.QuoteMeta(test) + `\(`)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if head.Match(text) {
			return true
		}
	}
	return false
}
