package config

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"net/netip"
	"reflect"
	"strings"
	"time"

	"github.com/invopop/jsonschema"
)

//go:embed config.go
var source string

// Patterns of the schema for what Load parses in code: a duration (time.ParseDuration without signs), and a value with
// a variable in it, which no schema can check.
const (
	durationPattern = `^(0|(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|ms|s|m|h))+)$`
	variablePattern = `\$\{[A-Za-z_][A-Za-z0-9_]*(:[^}]*)?\}`
)

// Schema returns the JSON Schema (draft 2020-12) of the file, for editors. Its descriptions are the comments of the
// types in this package. It covers shapes, choices, ranges and patterns. Only Load checks what depends on other keys,
// files or the environment.
func Schema() ([]byte, error) {
	docs, err := comments()
	if err != nil {
		return nil, fmt.Errorf("comments of the config types: %w", err)
	}
	r := &jsonschema.Reflector{
		Anonymous:                  true,
		DoNotReference:             true,
		RequiredFromJSONSchemaTags: true,
		FieldNameTag:               "yaml",
		Mapper: func(t reflect.Type) *jsonschema.Schema {
			switch t {
			case reflect.TypeFor[time.Duration]():
				return &jsonschema.Schema{Type: "string", Pattern: durationPattern}
			case reflect.TypeFor[Secret](), reflect.TypeFor[netip.Addr](), reflect.TypeFor[netip.Prefix]():
				return &jsonschema.Schema{Type: "string"}
			}
			return nil
		},
		LookupComment: func(t reflect.Type,
			field string) string {
			return docs[strings.TrimSuffix(t.Name()+"."+field, ".")]
		},
	}
	s := r.Reflect(&Config{})
	s.Title = "kvsagent.yaml"
	annotate(s, reflect.TypeFor[Config]())
	return json.MarshalIndent(s, "", "  ")
}

// comments returns the doc comments of config.go by type and by type.field, without the leading type name.
func comments() (map[string]string, error) {
	file, err := parser.ParseFile(token.NewFileSet(), "config.go", source,
		parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	docs := make(map[string]string)
	for _, decl := range file.Decls {
		gen, ok := decl.(*ast.GenDecl)
		if !ok || gen.Tok != token.TYPE {
			continue
		}
		spec := gen.Specs[0].(*ast.TypeSpec)
		docs[spec.Name.Name] = prose(gen.Doc)
		fields, ok := spec.Type.(*ast.StructType)
		if !ok {
			continue
		}
		for _, f := range fields.Fields.List {
			docs[spec.Name.Name+"."+f.Names[0].Name] = prose(f.Doc)
		}
	}
	return docs, nil
}

// prose returns a comment as paragraphs of one line each.
func prose(c *ast.CommentGroup) string {
	paragraphs := strings.Split(strings.TrimSpace(c.Text()), "\n\n")
	for i, p := range paragraphs {
		paragraphs[i] = strings.Join(strings.Fields(p), " ")
	}
	return strings.Join(paragraphs, "\n\n")
}

// annotate copies the tags of a struct's fields, which the decoder obeys, into the struct's schema.
func annotate(s *jsonschema.Schema, t reflect.Type) {
	for _, f := range reflect.VisibleFields(t) {
		if !f.IsExported() {
			continue
		}
		name := yamlName(f)
		p, _ := s.Properties.Get(name)
		if f.Tag.Get("required") != "" {
			s.Required = append(s.Required, name)
		}
		switch {
		case isScalar(f.Type):
			value(p, f)
			orVariable(p)
		case f.Type.Kind() == reflect.Slice && isScalar(f.Type.Elem()):
			value(p.Items, f)
			p.Examples, p.Items.Examples = p.Items.Examples, nil
			orVariable(p.Items)
			list := &jsonschema.Schema{Type: p.Type, Items: p.Items}
			p.AnyOf = []*jsonschema.Schema{list, p.Items}
			p.Type, p.Items = "", nil
		case f.Type.Kind() == reflect.Slice:
			annotate(p.Items, f.Type.Elem())
		case f.Type.Kind() == reflect.Map:
			p.PropertyNames = &jsonschema.Schema{Pattern: f.Tag.Get("pattern")}
			if isScalar(f.Type.Elem()) {
				continue
			}
			annotate(p.AdditionalProperties, f.Type.Elem())
		case f.Type.Kind() == reflect.Pointer:
			annotate(p, f.Type.Elem())
		default:
			annotate(p, f.Type)
		}
	}
}

// value copies the tags of one scalar into its schema.
func value(p *jsonschema.Schema, f reflect.StructField) {
	if pattern := f.Tag.Get("pattern"); pattern != "" {
		p.Pattern = pattern
	}
	if enum := f.Tag.Get("enum"); enum != "" {
		for choice := range strings.SplitSeq(enum, ",") {
			p.Enum = append(p.Enum, choice)
		}
	}
	if p.Type == "integer" {
		p.Minimum, p.Maximum = json.Number(f.Tag.Get("min")), json.Number(f.Tag.Get("max"))
	}
	if def := f.Tag.Get("default"); def != "" {
		p.Default = def
		if p.Type != "string" {
			p.Default = json.RawMessage(def)
		}
	}
	if examples := f.Tag.Get("example"); examples != "" {
		for e := range strings.SplitSeq(examples, ",") {
			p.Examples = append(p.Examples, e)
		}
	}
}

// orVariable also allows a ${VAR} for a value that is not plain text.
func orVariable(p *jsonschema.Schema) {
	if p.Type == "string" && p.Pattern == "" && p.Enum == nil {
		return
	}
	plain := &jsonschema.Schema{Type: p.Type, Pattern: p.Pattern, Enum: p.Enum, Minimum: p.Minimum, Maximum: p.Maximum}
	p.AnyOf = []*jsonschema.Schema{plain, {Type: "string", Pattern: variablePattern}}
	p.Type, p.Pattern, p.Enum, p.Minimum, p.Maximum = "", "", nil, "", ""
}
