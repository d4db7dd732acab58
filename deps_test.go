package kvsagent_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// floors are the oldest versions that we may build with, and why.
var floors = map[string]struct{ version, why string }{
	"golang.org/x/net": {"v0.56.0",
		"older: one packet from the LAN ends a process that has mDNS on (GO-2026-5942)"},
	"github.com/pion/dtls/v3":     {"v3.1.4", "older: no Firefox 148, and known holes"},
	"github.com/pion/stun/v4":     {"v4.0.1", "older: a hostile message ends the process"},
	"github.com/pion/interceptor": {"v0.1.39", "older: a hostile packet ends the process"},
}

// forbidden modules must not come back through a dependency.
var forbidden = []string{"github.com/pion/dtls", "github.com/pion/dtls/v2"}

func TestFloors(t *testing.T) {
	have := requirements(t)
	for module, floor := range floors {
		if got, ok := have[module]; !ok || older(got, floor.version) {
			t.Errorf("%s is %q, want %s or newer (%s)", module, got, floor.version, floor.why)
		}
	}
	for _, module := range forbidden {
		if got, ok := have[module]; ok {
			t.Errorf("%s %s is required; only v3 is maintained", module, got)
		}
	}
}

// TestModules compares go.mod with the list that people have looked at: a new module needs a line there, and a reason
// in the commit.
func TestModules(t *testing.T) {
	golden, err := os.ReadFile("testdata/modules.txt")
	if err != nil {
		t.Fatal(err)
	}
	want, got := strings.Fields(string(golden)), slices.Sorted(maps.Keys(requirements(t)))
	for _, module := range got {
		if !slices.Contains(want, module) {
			t.Errorf("go.mod has %s, which nobody has agreed to; add it to testdata/modules.txt with the reason in "+
				"the commit", module)
		}
	}
	for _, module := range want {
		if !slices.Contains(got, module) {
			t.Errorf("go.mod no longer has %s; take it out of testdata/modules.txt", module)
		}
	}
}

func TestEveryPackageSaysWhatItIs(t *testing.T) {
	for dir, files := range sources(t) {
		said := ""
		for _, file := range files {
			said += file.Doc.Text()
		}
		if !strings.HasPrefix(said, "Package "+path.Base(dir)+" ") &&
			!strings.HasPrefix(said, "Command "+path.Base(dir)+" ") {
			t.Errorf("%s: the package comment is %q; want one that begins with Package %s", dir, said, path.Base(dir))
		}
	}
}

// sources parses every Go file that is not a test, by the room it lies in. It reads the files itself: a list made by
// the go command would be served from the test cache when an import changes.
func sources(t *testing.T) map[string]map[string]*ast.File {
	t.Helper()
	found := map[string]map[string]*ast.File{}
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && name != "." && (name == "tools" || d.Name() == "node_modules" || d.Name() == "testdata" ||
			d.Name()[0] == '.') {
			return fs.SkipDir
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		dir := path.Dir(filepath.ToSlash(name))
		if found[dir] == nil {
			found[dir] = map[string]*ast.File{}
		}
		found[dir][name] = file
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

var requirement = regexp.MustCompile(`(?m)^(?:require )?\s*([a-z0-9.-]+\.[a-z]+/\S+) (v\S+)`)

// requirements reads the modules and versions of go.mod, which lists the indirect ones too.
func requirements(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	if regexp.MustCompile(`(?m)^\s*replace\b`).Match(text) {
		t.Error("go.mod has a replace: users who install by module path would build something else")
	}
	have := map[string]string{}
	for _, m := range requirement.FindAllStringSubmatch(string(text), -1) {
		have[m[1]] = m[2]
	}
	return have
}

// older compares the numbers of two versions; what follows a dash counts for nothing.
func older(a, b string) bool {
	return slices.Compare(numbers(a), numbers(b)) < 0
}

func numbers(version string) []int {
	core, _, _ := strings.Cut(strings.TrimPrefix(version, "v"), "-")
	var ns []int
	for part := range strings.SplitSeq(core, ".") {
		n, err := strconv.Atoi(part)
		if err != nil {
			return nil // older than everything
		}
		ns = append(ns, n)
	}
	return ns
}
