package config

import (
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strconv"

	"gopkg.in/yaml.v3"
)

// Limits on a file: values in total, which aliases multiply, and entries of one mapping or list.
const (
	maxNodes   = 100_000
	maxEntries = 1000
)

// A decoder fills a Config from YAML nodes by reflection on its types. It collects mistakes instead of stopping at the
// first. It knows structs, pointers to structs, maps with string keys, lists, and the scalars of setScalar.
type decoder struct {
	file  string
	env   func(string) (string, bool)
	errs  Errors
	nodes int
	// secrets are where the file itself holds one.
	secrets []*mark

	patterns map[string]*regexp.Regexp // compiled so far
}

// fail records a mistake at m.
func (d *decoder) fail(m *mark, what, hint string) {
	m.bad = true
	d.errs = append(d.errs, &Error{File: d.file, Line: m.line, Key: m.key, What: what, Hint: hint})
}

// root decodes the whole document into cfg. The mark it returns is bad when further checks would be pointless.
func (d *decoder) root(n *yaml.Node, cfg *Config) *mark {
	top := &mark{line: 1}
	d.value(n, top, reflect.ValueOf(cfg).Elem(), "")
	top.bad = top.bad || d.nodes >= maxNodes
	return top
}

// value decodes n into v; a nil n leaves only defaults. The tag is that of the field that holds v.
func (d *decoder) value(n *yaml.Node, m *mark, v reflect.Value, tag reflect.StructTag) {
	d.nodes++
	if d.nodes == maxNodes {
		d.fail(m, "too many values", "use fewer YAML aliases")
	}
	if d.nodes >= maxNodes {
		return
	}
	n = content(n)
	switch {
	case isScalar(v.Type()):
		d.scalar(n, m, v, tag)
	case v.Kind() == reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		d.structure(n, m, v.Elem())
	case v.Kind() == reflect.Struct:
		d.structure(n, m, v)
	case v.Kind() == reflect.Map:
		d.table(n, m, v, tag)
	case v.Kind() == reflect.Slice:
		d.list(n, m, v, tag)
	}
}

// structure decodes the keys of a struct, fills in defaults for missing keys, and reports missing required ones.
func (d *decoder) structure(n *yaml.Node, m *mark, v reflect.Value) {
	fields := make(map[string]reflect.StructField)
	for _, f := range reflect.VisibleFields(v.Type()) {
		if f.IsExported() {
			fields[yamlName(f)] = f
		}
	}
	keys := slices.Collect(maps.Keys(fields))
	ok := d.pairs(n, m, "keys here: "+listed(keys), func(key, val *yaml.Node) {
		f, known := fields[key.Value]
		if !known {
			d.unknown(m, key, keys)
			return
		}
		if val = content(val); val != nil || isScalar(f.Type) {
			d.value(val, m.add(key.Value, key.Line), v.FieldByIndex(f.Index), f.Tag)
		}
	})
	if !ok {
		return
	}
	for name, f := range fields {
		if !m.has(name) {
			d.absent(m, name, v.FieldByIndex(f.Index), f)
		}
	}
}

// absent handles a key that was not written: it has a default, it is a section whose keys have defaults, or it is
// required.
func (d *decoder) absent(m *mark, name string, v reflect.Value, f reflect.StructField) {
	if f.Tag.Get("required") != "" {
		d.fail(&mark{key: m.key, line: m.line}, name+" is missing", example(f.Tag))
		return
	}
	if f.Type.Kind() == reflect.Struct && !isScalar(f.Type) {
		d.structure(nil, m.at(name), v)
		return
	}
	if def := f.Tag.Get("default"); def != "" {
		if want := setScalar(v, def); want != "" {
			panic("config: the default of " + name + " is not " + want)
		}
	}
}

// table decodes a mapping whose keys the operator chose.
func (d *decoder) table(n *yaml.Node, m *mark, v reflect.Value, tag reflect.StructTag) {
	v.Set(reflect.MakeMap(v.Type()))
	d.pairs(n, m, "a name of your choice and a colon, then its keys", func(key, val *yaml.Node) {
		km := m.add(key.Value, key.Line)
		if !d.matches(tag, key.Value) {
			d.fail(km, "bad name "+quote(key.Value), tag.Get("hint"))
		}
		elem := reflect.New(v.Type().Elem()).Elem()
		d.value(val, km, elem, "")
		v.SetMapIndex(reflect.ValueOf(key.Value), elem)
	})
}

// list decodes a sequence; a single value stands for a list of one.
func (d *decoder) list(n *yaml.Node, m *mark, v reflect.Value, tag reflect.StructTag) {
	if n.Kind != yaml.SequenceNode {
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		only := m.add("0", m.line)
		only.key = m.key
		d.value(n, only, v.Index(0), tag)
		return
	}
	if !d.few(m, len(n.Content)) {
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content)))
	for i, item := range n.Content {
		d.value(item, m.add(strconv.Itoa(i), item.Line), v.Index(i), tag)
	}
}

// few reports a list with more entries than anybody needs.
func (d *decoder) few(m *mark, n int) bool {
	if n > maxEntries {
		d.fail(m, fmt.Sprintf("%d entries", n), fmt.Sprintf("at most %d", maxEntries))
	}
	return n <= maxEntries
}

// pairs calls each once for every key of a mapping, in the order of the file. It reports whether n was a mapping
// without merge keys, or empty.
func (d *decoder) pairs(n *yaml.Node, m *mark, hint string, each func(key, val *yaml.Node)) bool {
	if n == nil {
		return true
	}
	if n.Kind != yaml.MappingNode {
		d.fail(m, "want keys and values, have "+kindOf(n), hint)
		return false
	}
	if !d.few(m, len(n.Content)/2) {
		return false
	}
	seen, merges := make(map[string]int), false
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, val := n.Content[i], n.Content[i+1]
		km := &mark{key: m.key, line: key.Line}
		switch first := seen[key.Value]; {
		case key.Kind != yaml.ScalarNode || key.ShortTag() == "!!null":
			d.fail(km, "a key must be a word", "")
		case key.ShortTag() == "!!merge":
			merges = true
			d.fail(km, "merge keys (<<) are not supported", "put what channels share under defaults")
		case first > 0:
			km.key = join(m.key, printable(key.Value))
			d.fail(km, fmt.Sprintf("written twice, first on line %d", first), "remove one of them")
		default:
			seen[key.Value] = key.Line
			each(key, val)
		}
	}
	return !merges
}

// unknown reports a key that does not exist here.
func (d *decoder) unknown(m *mark, key *yaml.Node, known []string) {
	hint := "keys here: " + listed(known)
	if near := nearest(key.Value, known); near != "" {
		hint = "did you mean " + near + "?"
	}
	d.fail(&mark{key: join(m.key, printable(key.Value)), line: key.Line}, "unknown key", hint)
}

// content returns the node behind aliases, or nil for an empty one.
func content(n *yaml.Node) *yaml.Node {
	if n != nil && n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n != nil && n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" {
		return nil
	}
	return n
}

// kindOf names the kind of a node, for messages.
func kindOf(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "keys and values"
	case yaml.SequenceNode:
		return "a list"
	}
	return "a single value"
}

// tagOf returns the tag of a field of T.
func tagOf[T any](field string) reflect.StructTag {
	f, _ := reflect.TypeFor[T]().FieldByName(field)
	return f.Tag
}

// yamlName returns the key of a field.
func yamlName(f reflect.StructField) string { return f.Tag.Get("yaml") }
