// Package strictjson reads JSON texts strictly.
package strictjson

import (
	"errors"
	"slices"
	"unicode/utf16"
	"unicode/utf8"
)

// maxDepth bounds how deep arrays and objects may nest inside a segment; a real token needs two or three.
const maxDepth = 32

// ErrNotStrict says that a text is not the one strict JSON object that was expected. Callers turn it into a public
// text of their own, so one error serves every way to be wrong.
var ErrNotStrict = errors.New("not a strict JSON object")

// Member is one name and value of an object; Value is the raw JSON text, without white space around it.
type Member struct {
	Name  string
	Value []byte
}

// Object reads data as exactly one JSON object (RFC 8259) and returns its members in order. It is stricter than
// encoding/json where a lax reader lets two programs see different things in one token (RFC 8725, section 2.6): no
// name may occur twice at any level, however it is escaped; text is valid UTF-8 without lone surrogates; nesting is
// bounded; nothing follows the object.
func Object(data []byte) ([]Member, error) {
	if !utf8.Valid(data) {
		return nil, ErrNotStrict
	}
	s := scanner{data: data}
	s.space()
	members, err := s.object(1, true)
	if err != nil {
		return nil, err
	}
	s.space()
	if s.pos != len(s.data) {
		return nil, ErrNotStrict
	}
	return members, nil
}

// scanner walks over one JSON text. Its methods leave pos behind what they read.
type scanner struct {
	data []byte
	pos  int
}

// peek is the next byte, or 0 at the end (a zero byte is never valid outside a string, nor raw inside one).
func (s *scanner) peek() byte {
	if s.pos < len(s.data) {
		return s.data[s.pos]
	}
	return 0
}

func (s *scanner) space() {
	for s.pos < len(s.data) {
		switch s.data[s.pos] {
		case ' ', '\t', '\n', '\r':
			s.pos++
		default:
			return
		}
	}
}

// take moves over c and says whether it was there.
func (s *scanner) take(c byte) bool {
	if s.peek() != c {
		return false
	}
	s.pos++
	return true
}

// object reads an object; its members are collected only if keep is set, names are compared in any case.
func (s *scanner) object(depth int, keep bool) ([]Member, error) {
	if depth > maxDepth || !s.take('{') {
		return nil, ErrNotStrict
	}
	var members []Member
	var seen names
	s.space()
	if s.take('}') {
		return members, nil
	}
	for {
		s.space()
		name, err := s.text()
		if err != nil {
			return nil, err
		}
		if !seen.add(name) {
			return nil, ErrNotStrict
		}
		s.space()
		if !s.take(':') {
			return nil, ErrNotStrict
		}
		s.space()
		start := s.pos
		if err := s.value(depth); err != nil {
			return nil, err
		}
		if keep {
			members = append(members, Member{name, s.data[start:s.pos]})
		}
		s.space()
		if s.take('}') {
			return members, nil
		}
		if !s.take(',') {
			return nil, ErrNotStrict
		}
	}
}

func (s *scanner) value(depth int) error {
	switch s.peek() {
	case '{':
		_, err := s.object(depth+1, false)
		return err
	case '[':
		return s.array(depth + 1)
	case '"':
		_, err := s.text()
		return err
	case 't':
		return s.literal("true")
	case 'f':
		return s.literal("false")
	case 'n':
		return s.literal("null")
	default:
		return s.number()
	}
}

func (s *scanner) array(depth int) error {
	if depth > maxDepth || !s.take('[') {
		return ErrNotStrict
	}
	s.space()
	if s.take(']') {
		return nil
	}
	for {
		s.space()
		if err := s.value(depth); err != nil {
			return err
		}
		s.space()
		if s.take(']') {
			return nil
		}
		if !s.take(',') {
			return ErrNotStrict
		}
	}
}

func (s *scanner) literal(want string) error {
	if len(s.data)-s.pos < len(want) || string(s.data[s.pos:s.pos+len(want)]) != want {
		return ErrNotStrict
	}
	s.pos += len(want)
	return nil
}

// number reads a number as RFC 8259, section 6 spells it.
func (s *scanner) number() error {
	s.take('-')
	if !s.take('0') && s.digits() == 0 {
		return ErrNotStrict
	}
	if s.take('.') && s.digits() == 0 {
		return ErrNotStrict
	}
	if s.take('e') || s.take('E') {
		if !s.take('+') {
			s.take('-')
		}
		if s.digits() == 0 {
			return ErrNotStrict
		}
	}
	return nil
}

func (s *scanner) digits() int {
	start := s.pos
	for c := s.peek(); c >= '0' && c <= '9'; c = s.peek() {
		s.pos++
	}
	return s.pos - start
}

// text reads a string and returns what it means, escapes resolved.
func (s *scanner) text() (string, error) {
	if !s.take('"') {
		return "", ErrNotStrict
	}
	start := s.pos
	for s.pos < len(s.data) {
		switch c := s.data[s.pos]; {
		case c == '"':
			s.pos++
			return string(s.data[start : s.pos-1]), nil
		case c == '\\':
			return s.escapedText(append([]byte(nil), s.data[start:s.pos]...))
		case c < ' ':
			return "", ErrNotStrict
		default:
			s.pos++
		}
	}
	return "", ErrNotStrict
}

// escapedText goes on from the first backslash of a string; before holds what was read until there.
func (s *scanner) escapedText(before []byte) (string, error) {
	for s.pos < len(s.data) {
		c := s.data[s.pos]
		s.pos++
		switch {
		case c == '"':
			return string(before), nil
		case c < ' ':
			return "", ErrNotStrict
		case c != '\\':
			before = append(before, c)
		default:
			r, ok := s.escape()
			if !ok {
				return "", ErrNotStrict
			}
			before = utf8.AppendRune(before, r)
		}
	}
	return "", ErrNotStrict
}

// escape reads what follows a backslash.
func (s *scanner) escape() (rune, bool) {
	c := s.peek()
	s.pos++
	switch c {
	case '"', '\\', '/':
		return rune(c), true
	case 'b':
		return '\b', true
	case 'f':
		return '\f', true
	case 'n':
		return '\n', true
	case 'r':
		return '\r', true
	case 't':
		return '\t', true
	case 'u':
		first, ok := s.hex4()
		if !ok || !utf16.IsSurrogate(first) {
			return first, ok
		}
		if !s.take('\\') || !s.take('u') {
			return 0, false
		}
		second, ok := s.hex4()
		r := utf16.DecodeRune(first, second)
		return r, ok && r != utf8.RuneError
	default:
		return 0, false
	}
}

func (s *scanner) hex4() (rune, bool) {
	if len(s.data)-s.pos < 4 {
		return 0, false
	}
	var r rune
	for _, c := range s.data[s.pos : s.pos+4] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	s.pos += 4
	return r, true
}

// names remembers the names of one object. Real objects have a handful, for which a list beats a map; the map keeps a
// hostile one with hundreds of names from costing the square of their number.
type names struct {
	list []string
	set  map[string]struct{}
}

// fewNames is how many names are searched one by one.
const fewNames = 16

// add says whether name is new.
func (n *names) add(name string) bool {
	if n.set != nil {
		before := len(n.set)
		n.set[name] = struct{}{}
		return len(n.set) > before
	}
	if slices.Contains(n.list, name) {
		return false
	}
	n.list = append(n.list, name)
	if len(n.list) == fewNames {
		n.set = make(map[string]struct{}, 2*fewNames)
		for _, known := range n.list {
			n.set[known] = struct{}{}
		}
	}
	return true
}

// String reads a value that must be a string.
func String(raw []byte) (string, bool) {
	s := scanner{data: raw}
	text, err := s.text()
	return text, err == nil
}

// Strings reads an array of strings.
func Strings(raw []byte) ([]string, bool) {
	s := scanner{data: raw, pos: 1}
	var list []string
	for {
		s.space()
		if s.take(']') {
			return list, true
		}
		text, err := s.text()
		if err != nil {
			return nil, false
		}
		list = append(list, text)
		s.space()
		s.take(',')
	}
}
