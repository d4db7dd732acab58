package config

import "strconv"

// A mark is where a value was written, so that checks made after decoding can point at it.
type mark struct {
	key  string // dotted path
	line int
	text string // the scalar as it was written, before variables were put in; may be a secret
	here bool   // it was written, and not only asked for
	bad  bool   // a mistake was found here: more complaints would be noise
	kids map[string]*mark
}

// at is the mark of a key below m. For a key that was not written it stands at m's line.
func (m *mark) at(name string) *mark {
	if k := m.kids[name]; k != nil {
		return k
	}
	return &mark{key: join(m.key, name), line: m.line}
}

// item is the mark of an element of a list.
func (m *mark) item(i int) *mark { return m.at(strconv.Itoa(i)) }

// has says whether a key was written.
func (m *mark) has(name string) bool { return m.kids[name] != nil }

// add makes the mark of a key or element below m.
func (m *mark) add(name string, line int) *mark {
	if m.kids == nil {
		m.kids = make(map[string]*mark)
	}
	k := &mark{key: join(m.key, name), line: line, here: true}
	m.kids[name] = k
	return k
}

// join makes a dotted path; elements of lists are counted from 0 in brackets.
func join(path, name string) string {
	if path == "" {
		return name
	}
	if _, err := strconv.Atoi(name); err == nil {
		return path + "[" + name + "]"
	}
	return path + "." + name
}
