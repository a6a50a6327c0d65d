// Package strictjson reads one JSON object (RFC 8259) whose text has one meaning only. Where encoding/json is lax, two
// programs may read different things in the same text (RFC 8725, section 2.6). This package refuses
//
//   - a name that occurs twice in one object, at any level, however it is escaped;
//   - text that is not UTF-8, and half of a surrogate pair, which is no character;
//   - arrays and objects that are nested deeper than the caller allows;
//   - anything but white space behind the object.
//
// Names are compared exactly. The reader does not recurse: deep nesting costs a few bytes a level, and no stack.
package strictjson

import (
	"bytes"
	"errors"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// The refusals of Object.
var (
	// ErrSyntax is for a text that is not JSON, not UTF-8, or nested too deep. It goes before the other two.
	ErrSyntax = errors.New("not strict JSON")
	// ErrNotObject is for another JSON value than an object.
	ErrNotObject = errors.New("not a JSON object")
	// ErrDuplicate is for a name that occurs twice in one object.
	ErrDuplicate = errors.New("a member occurs twice")
)

// Member is a name, its escapes resolved, and its value as the text writes it, without white space around it.
type Member struct {
	Name, Value string
}

// Object reads data as exactly one object and returns its members in order. maxDepth bounds how deep arrays and objects
// may nest; the object itself is level 1. With ErrDuplicate come the members whose names stand before the second
// occurrence, so that a caller can tell which of two problems is first in the text.
func Object(data []byte, maxDepth int) ([]Member, error) {
	if !utf8.Valid(data) {
		return nil, ErrSyntax
	}
	names := min(bytes.Count(data, []byte{':'}), manyNames) // an upper bound for small texts
	s := scanner{text: string(data), names: make([]string, 0, names), members: make([]Member, 0, names)}
	s.space()
	isObject := s.peek() == '{'
	if !s.value(maxDepth) {
		return nil, ErrSyntax
	}
	s.space()
	switch {
	case s.pos != len(s.text):
		return nil, ErrSyntax
	case !isObject:
		return nil, ErrNotObject
	case s.duplicate:
		return s.members, ErrDuplicate
	default:
		return s.members, nil
	}
}

// String reads the value of a Member that must be a string. What it returns keeps nothing else of the text in memory.
func String(value string) (text string, ok bool) {
	s := scanner{text: value}
	inside, ok := s.quoted()
	return strings.Clone(unescape(inside)), ok
}

// Strings reads the value of a Member that must be an array of strings.
func Strings(value string) (list []string, ok bool) {
	s := scanner{text: value}
	if !s.take('[') {
		return nil, false
	}
	for s.space(); !s.take(']'); s.space() {
		inside, ok := s.quoted()
		if !ok {
			return nil, false
		}
		list = append(list, strings.Clone(unescape(inside)))
		s.space()
		s.take(',')
	}
	return list, true
}

// scanner walks over one JSON text. Its methods leave pos behind what they read, and say whether it was there.
type scanner struct {
	text string
	pos  int

	open  []level  // the arrays and objects around pos
	names []string // of the objects among them, the outermost first

	members   []Member // of the outermost object, up to a duplicate
	start     int      // where the value of the last member begins
	duplicate bool
}

// level is an open array or object.
type level struct {
	end   byte // what closes it
	names int  // where its names begin in scanner.names
	// set has the names of an object with many. A list is faster for a few; the set keeps a hostile object with thousands
	// of names from costing the square of their number.
	set map[string]struct{}
}

// manyNames is how many names an object may have before they go into a set.
const manyNames = 16

// value moves over one value. Each turn reads a scalar or opens an array or object, then closes what ends there.
func (s *scanner) value(maxDepth int) bool {
	for {
		switch c := s.peek(); c {
		case '{', '[':
			if len(s.open) == maxDepth {
				return false
			}
			s.pos++
			end := c + 2 // ASCII has '}' and ']' two places on
			s.open = append(s.open, level{end: end, names: len(s.names)})
			s.space()
			if s.peek() != end {
				if c == '{' && !s.name() {
					return false
				}
				continue
			}
		default:
			if !s.scalar(c) {
				return false
			}
		}
		if !s.next() {
			return false
		}
		if len(s.open) == 0 {
			return true
		}
	}
}

// next goes on from the end of a value to the next one, out of the arrays and objects that end here.
func (s *scanner) next() bool {
	for len(s.open) > 0 {
		top := s.open[len(s.open)-1]
		if len(s.open) == 1 && len(s.members) > 0 && !s.duplicate {
			s.members[len(s.members)-1].Value = s.text[s.start:s.pos]
		}
		s.space()
		if s.take(',') {
			s.space()
			return top.end == ']' || s.name()
		}
		if !s.take(top.end) {
			return false
		}
		s.open = s.open[:len(s.open)-1]
		s.names = s.names[:top.names]
	}
	return true
}

// name moves over a name and its colon.
func (s *scanner) name() bool {
	inside, ok := s.quoted()
	if !ok {
		return false
	}
	s.space()
	if !s.take(':') {
		return false
	}
	s.space()
	if s.duplicate {
		return true
	}
	name := unescape(inside)
	if !s.add(name) {
		s.duplicate = true
	} else if len(s.open) == 1 {
		s.members = append(s.members, Member{Name: name})
		s.start = s.pos
	}
	return true
}

// add says whether name is new in the innermost object.
func (s *scanner) add(name string) bool {
	top := &s.open[len(s.open)-1]
	list := s.names[top.names:]
	if len(list) < manyNames {
		if slices.Contains(list, name) {
			return false
		}
		s.names = append(s.names, name)
		return true
	}
	if top.set == nil {
		top.set = make(map[string]struct{}, 2*manyNames)
		for _, known := range list {
			top.set[known] = struct{}{}
		}
	}
	before := len(top.set)
	top.set[name] = struct{}{}
	return len(top.set) > before
}

// scalar moves over a value that begins with c and is no array or object.
func (s *scanner) scalar(c byte) bool {
	switch c {
	case '"':
		_, ok := s.quoted()
		return ok
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

func (s *scanner) literal(want string) bool {
	if !strings.HasPrefix(s.text[s.pos:], want) {
		return false
	}
	s.pos += len(want)
	return true
}

// number moves over a number as RFC 8259, section 6 spells it.
func (s *scanner) number() bool {
	s.take('-')
	if !s.take('0') && !s.digits() {
		return false
	}
	if s.take('.') && !s.digits() {
		return false
	}
	if s.take('e') || s.take('E') {
		if !s.take('+') {
			s.take('-')
		}
		return s.digits()
	}
	return true
}

func (s *scanner) digits() bool {
	start := s.pos
	for c := s.peek(); c >= '0' && c <= '9'; c = s.peek() {
		s.pos++
	}
	return s.pos > start
}

// quoted moves over a string and returns what is between its quotes, escapes unresolved.
func (s *scanner) quoted() (inside string, ok bool) {
	if !s.take('"') {
		return "", false
	}
	start := s.pos
	for s.pos < len(s.text) {
		c := s.text[s.pos]
		s.pos++
		switch {
		case c == '"':
			return s.text[start : s.pos-1], true
		case c < ' ':
			return "", false
		case c == '\\':
			if _, ok := s.escape(); !ok {
				return "", false
			}
		}
	}
	return "", false
}

// unescape resolves the escapes of what quoted returned.
func unescape(inside string) string {
	at := strings.IndexByte(inside, '\\')
	if at < 0 {
		return inside
	}
	resolved := append(make([]byte, 0, len(inside)), inside[:at]...)
	s := scanner{text: inside, pos: at}
	for s.pos < len(s.text) {
		c := s.text[s.pos]
		s.pos++
		if c != '\\' {
			resolved = append(resolved, c)
			continue
		}
		r, _ := s.escape()
		resolved = utf8.AppendRune(resolved, r)
	}
	return string(resolved)
}

// The escapes of one letter, and what they stand for.
const (
	letters    = `"\/bfnrt`
	characters = "\"\\/\b\f\n\r\t"
)

// escape reads what follows a backslash. A surrogate pair is one character.
func (s *scanner) escape() (rune, bool) {
	c := s.peek()
	s.pos++
	if c != 'u' {
		at := strings.IndexByte(letters, c)
		if at < 0 {
			return 0, false
		}
		return rune(characters[at]), true
	}
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
}

func (s *scanner) hex4() (rune, bool) {
	if len(s.text)-s.pos < 4 {
		return 0, false
	}
	number, err := strconv.ParseUint(s.text[s.pos:s.pos+4], 16, 16)
	s.pos += 4
	return rune(number), err == nil
}

// peek is the next byte, or 0 at the end: no value begins with a zero byte, and no string has a raw one.
func (s *scanner) peek() byte {
	if s.pos < len(s.text) {
		return s.text[s.pos]
	}
	return 0
}

// take moves over c and says whether it was there.
func (s *scanner) take(c byte) bool {
	if s.peek() != c {
		return false
	}
	s.pos++
	return true
}

func (s *scanner) space() {
	for s.pos < len(s.text) {
		switch s.text[s.pos] {
		case ' ', '\t', '\n', '\r':
			s.pos++
		default:
			return
		}
	}
}
