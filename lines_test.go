package kvsagent_test

import (
	"bytes"
	"go/scanner"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// widest is how many columns a line may have; a tab is four of them.
const widest = 120

// TestLinesAreNarrow holds for what people write here: Go, shell, and the scripts of pages. Raw strings are let off,
// and struct tags with them: they are text of another kind, which may have to stand on one line.
func TestLinesAreNarrow(t *testing.T) {
	for _, name := range written(t) {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.HasPrefix(text, []byte("// Code generated ")) {
			continue
		}
		raw := map[int]bool{}
		if strings.HasSuffix(name, ".go") {
			raw = rawLines(text)
		}
		n := 0
		for line := range strings.Lines(string(text)) {
			n++
			line = strings.TrimRight(line, "\n")
			if w := columns(line); w > widest && !raw[n] && !strings.HasPrefix(line, "//go:") {
				t.Errorf("%s:%d has %d columns, want %d at most: %.60s…", name, n, w, widest, strings.TrimSpace(line))
			}
		}
	}
}

func columns(line string) int { return utf8.RuneCountInString(line) + 3*strings.Count(line, "\t") }

// rawLines are the lines that a raw string is on.
func rawLines(src []byte) map[int]bool {
	files := token.NewFileSet()
	file := files.AddFile("", files.Base(), len(src))
	var s scanner.Scanner
	s.Init(file, src, nil, 0)
	found := map[int]bool{}
	for {
		pos, tok, text := s.Scan()
		if tok == token.EOF {
			return found
		}
		if tok == token.STRING && text[0] == '`' {
			first := file.Line(pos)
			for n := range strings.Count(text, "\n") + 1 {
				found[first+n] = true
			}
		}
	}
}

// written are the files that people write, without those that are text to be compared with.
func written(t *testing.T) (names []string) {
	t.Helper()
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || name == "." {
			return err
		}
		base := d.Name()
		if d.IsDir() {
			if base == "testdata" || base == "node_modules" || base == "dist" || base[0] == '.' {
				return fs.SkipDir
			}
			return nil
		}
		ours := slices.Contains([]string{".go", ".js", ".mjs", ".sh"}, filepath.Ext(base))
		if ours || filepath.Ext(base) == "" && script(name) {
			names = append(names, filepath.ToSlash(name))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// script reports whether a file says with what it is to be run.
func script(name string) bool {
	text, err := os.ReadFile(name)
	return err == nil && bytes.HasPrefix(text, []byte("#!"))
}

func TestRawLines(t *testing.T) {
	got := rawLines([]byte("package x\nvar a = \"x\" // `no`\nvar b = `1\n2` + \"y\"\nvar c struct { D int `d:\"e\"` " +
		"}\n"))
	for n, want := range map[int]bool{1: false, 2: false, 3: true, 4: true, 5: true} {
		if got[n] != want {
			t.Errorf("line %d: %v, want %v", n, got[n], want)
		}
	}
}
