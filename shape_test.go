package kvsagent_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"
)

// neighbours is how many other files a file of peer may have in its room, tests left out.
const neighbours = 20

// TestPeerRoomsStaySmall: a room that grows is two.
func TestPeerRoomsStaySmall(t *testing.T) {
	found := 0
	for dir, files := range sources(t) {
		if dir != "peer" && !strings.HasPrefix(dir, "peer/") {
			continue
		}
		found++
		n := 0
		for name := range files {
			if !strings.HasSuffix(name, "_test.go") {
				n++
			}
		}
		if n > neighbours+1 {
			t.Errorf("%s has %d files, so each has %d neighbours; at most %d", dir, n, n-1, neighbours)
		}
	}
	if found < 5 {
		t.Errorf("%d rooms of peer found", found)
	}
}

// TestConnStaysSmall: what Conn does for a part of its own belongs to that part.
func TestConnStaysSmall(t *testing.T) {
	const mostFields, mostMethods, mostRun = 20, 45, 50
	fset := token.NewFileSet()
	names, err := filepath.Glob("peer/*.go")
	if err != nil {
		t.Fatal(err)
	}
	fields, methods, run := 0, 0, 0
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(fset, name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if receiver(d) != "Conn" {
					continue
				}
				methods++
				if d.Name.Name == "Run" || d.Name.Name == "run" {
					run += fset.Position(d.End()).Line - fset.Position(d.Pos()).Line + 1
				}
			case *ast.GenDecl:
				fields += fieldsOf(d, "Conn")
			}
		}
	}
	if fields == 0 || fields > mostFields {
		t.Errorf("Conn has %d fields, want 1 to %d", fields, mostFields)
	}
	if methods == 0 || methods > mostMethods {
		t.Errorf("Conn has %d methods, want 1 to %d", methods, mostMethods)
	}
	if run == 0 || run > mostRun {
		t.Errorf("Conn.Run has %d lines, want 1 to %d", run, mostRun)
	}
}

// receiver is the type that a method belongs to; "" is a function.
func receiver(d *ast.FuncDecl) string {
	if d.Recv == nil {
		return ""
	}
	of := d.Recv.List[0].Type
	if star, ok := of.(*ast.StarExpr); ok {
		of = star.X
	}
	name, _ := of.(*ast.Ident)
	return name.Name
}

// fieldsOf counts the fields of a struct type.
func fieldsOf(d *ast.GenDecl, name string) (n int) {
	for _, s := range d.Specs {
		if s, ok := s.(*ast.TypeSpec); ok && s.Name.Name == name {
			for _, f := range s.Type.(*ast.StructType).Fields.List {
				n += max(len(f.Names), 1)
			}
		}
	}
	return n
}
