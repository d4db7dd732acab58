package config

import (
	"cmp"
	"net/netip"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"gopkg.in/yaml.v3"
)

// isScalar reports whether values of a type are written as one YAML scalar.
func isScalar(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.String, reflect.Bool, reflect.Int, reflect.Int64:
		return true
	}
	return t == reflect.TypeFor[netip.Addr]() || t == reflect.TypeFor[netip.Prefix]()
}

// scalar decodes a single value: it replaces variables, parses the text as v's type, and checks it against the tag's
// range, choices and pattern. Messages show a value only as it was written, and never a secret.
func (d *decoder) scalar(n *yaml.Node, m *mark, v reflect.Value, tag reflect.StructTag) {
	if n == nil {
		d.fail(m, "no value", "give one, in quotes if it begins with # & * or !, or leave the key out")
		return
	}
	if n.Kind != yaml.ScalarNode {
		d.fail(m, "want a single value, have "+kindOf(n), "")
		return
	}
	switch n.ShortTag() {
	case "!!str", "!!int", "!!float", "!!bool", "!!timestamp":
	default:
		d.fail(m, "want plain text, have a YAML tag", "put a value that begins with ! in quotes")
		return
	}
	m.text = n.Value
	text, e := expand(n.Value, d.env)
	if e != nil {
		d.fail(m, e.What, e.Hint)
		return
	}
	if want := setScalar(v, text); want != "" {
		d.fail(m, "want "+want+", have "+quote(m.text), example(tag))
		return
	}
	d.inline(m, v)
	d.fits(m, v, text, tag)
}

// setScalar parses a text into v, or returns what v wants instead.
func setScalar(v reflect.Value, text string) (want string) {
	switch p := v.Addr().Interface().(type) {
	case *netip.Addr:
		a, err := netip.ParseAddr(text)
		if err != nil {
			return "an IP address"
		}
		*p = a
	case *netip.Prefix:
		a, err := netip.ParsePrefix(text)
		if err != nil {
			return "a network"
		}
		*p = a.Masked()
	case *time.Duration:
		t, err := time.ParseDuration(text)
		if err != nil || t < 0 {
			return "a duration with its unit, such as 500ms, 20s or 1h30m"
		}
		*p = t
	case *int:
		i, err := strconv.Atoi(text)
		if err != nil {
			return "a whole number"
		}
		*p = i
	case *bool:
		if text != "true" && text != "false" {
			return "true or false"
		}
		*p = text == "true"
	default:
		v.SetString(text)
	}
	return ""
}

// fits checks a value against its field's range, choices and pattern.
func (d *decoder) fits(m *mark, v reflect.Value, text string, tag reflect.StructTag) {
	name, _, _ := strings.Cut(m.key[strings.LastIndexByte(m.key, '.')+1:], "[")
	if enum := tag.Get("enum"); enum != "" {
		choices := strings.Split(enum, ",")
		if !slices.Contains(choices, text) {
			d.fail(m, "unknown "+name+" "+quote(m.text), either(choices))
		}
	}
	if lo := tag.Get("min"); lo != "" && v.Int() < bound(v.Type(), lo) {
		d.fail(m, "want at least "+lo+", have "+quote(m.text), "")
	}
	if hi := tag.Get("max"); hi != "" && v.Int() > bound(v.Type(), hi) {
		d.fail(m, "want at most "+hi+", have "+quote(m.text), "")
	}
	if !d.matches(tag, text) {
		d.fail(m, "bad "+name+" "+quote(m.text), tag.Get("hint"))
	}
}

// bound parses a min or max tag as the type that it bounds.
func bound(t reflect.Type, text string) int64 {
	v := reflect.New(t).Elem()
	if want := setScalar(v, text); want != "" {
		panic("config: bound " + text + " is not " + want)
	}
	return v.Int()
}

// matches reports whether a text matches the pattern of the tag.
func (d *decoder) matches(tag reflect.StructTag, text string) bool {
	p := tag.Get("pattern")
	if p == "" {
		return true
	}
	if d.patterns[p] == nil {
		if d.patterns == nil {
			d.patterns = make(map[string]*regexp.Regexp)
		}
		d.patterns[p] = regexp.MustCompile(p)
	}
	return d.patterns[p].MatchString(text)
}

// example returns a field's first example, as a hint.
func example(tag reflect.StructTag) string {
	e, _, _ := strings.Cut(tag.Get("example"), ",")
	return cmp.Or(e, tag.Get("hint"))
}
