package config

import (
	"bytes"
	"errors"
	"io"
	"regexp"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// parse returns the root node of the only document in the bytes; nil for an empty file.
func parse(name string, data []byte) (*yaml.Node, *Error) {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc, next yaml.Node
	err := dec.Decode(&doc)
	if errors.Is(err, io.EOF) {
		return nil, nil
	}
	if err != nil {
		return nil, syntaxError(name, data, err)
	}
	err = dec.Decode(&next)
	if err == nil {
		return nil, &Error{File: name, Line: next.Line, What: "second YAML document",
			Hint: "one file holds one document: remove the --- line"}
	}
	if !errors.Is(err, io.EOF) {
		return nil, syntaxError(name, data, err)
	}
	if len(doc.Content) == 0 {
		return nil, nil
	}
	return doc.Content[0], nil
}

var (
	yamlLine   = regexp.MustCompile(`^yaml: (?:line (\d+): )?`)
	yamlBlock  = regexp.MustCompile(`did not find expected (',' or|key|'-' indicator|node content|<document start>)`)
	yamlAnchor = regexp.MustCompile(`unknown anchor '(.*)' referenced`)
)

// syntaxError reports what the YAML parser found. It leaves out the name of an unknown anchor, which may be a password
// that begins with *.
func syntaxError(name string, data []byte, err error) *Error {
	m := yamlLine.FindStringSubmatch(err.Error())
	e := &Error{File: name, What: "not YAML: " + strings.TrimPrefix(err.Error(), m[0])}
	if m[1] != "" {
		e.Line, _ = strconv.Atoi(m[1])
	}
	if yamlBlock.MatchString(e.What) {
		e.Line++ // yaml.v3 counts lines from 0 in errors of its parser, but not of its scanner
	}
	if a := yamlAnchor.FindStringSubmatch(e.What); a != nil {
		e.What, e.Hint = "not YAML: unknown anchor", "put a value that begins with * in quotes"
		if i := bytes.Index(data, []byte("*"+a[1])); i >= 0 {
			e.Line = 1 + bytes.Count(data[:i], []byte("\n"))
		}
		return e
	}
	e.Hint = "indent with spaces, end keys with a colon and a space, and put values with special characters in quotes"
	return e
}
