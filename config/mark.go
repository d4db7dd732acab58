package config

import "strconv"

// A mark is where a value was written, so that checks made after decoding can point at it.
type mark struct {
	key  string // dotted path
	line int
	text string // the scalar as written, before variables were replaced; may be a secret
	here bool   // it was written in the file
	bad  bool   // a mistake was found here: further ones would be noise
	kids map[string]*mark
}

// at returns the mark of a key below m. A key that was not written gets m's line.
func (m *mark) at(name string) *mark {
	if k := m.kids[name]; k != nil {
		return k
	}
	return &mark{key: join(m.key, name), line: m.line}
}

// item returns the mark of a list element.
func (m *mark) item(i int) *mark { return m.at(strconv.Itoa(i)) }

// has reports whether a key was written.
func (m *mark) has(name string) bool { return m.kids[name] != nil }

// add adds the mark of a key or element below m.
func (m *mark) add(name string, line int) *mark {
	if m.kids == nil {
		m.kids = make(map[string]*mark)
	}
	k := &mark{key: join(m.key, name), line: line, here: true}
	m.kids[name] = k
	return k
}

// join makes a dotted path; list elements are counted from 0 in brackets.
func join(path, name string) string {
	if path == "" {
		return name
	}
	if _, err := strconv.Atoi(name); err == nil {
		return path + "[" + name + "]"
	}
	return path + "." + name
}
