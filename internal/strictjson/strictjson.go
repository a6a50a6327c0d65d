// Package strictjson reads JSON objects (RFC 8259) that every program reads the same way. encoding/json is too lax for
// that (RFC 8725, section 2.6). This package refuses
//
//   - a name that occurs twice in one object, at any level, with or without escapes;
//   - text that is not UTF-8, and half of a surrogate pair, which is not a character;
//   - arrays and objects nested deeper than the caller allows;
//   - anything but white space after the object.
//
// Names are compared exactly. The reader does not recurse, so deep nesting cannot exhaust the stack.
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
	// ErrSyntax is for text that is not JSON, not UTF-8, or nested too deep. It wins over the other two.
	ErrSyntax = errors.New("not strict JSON")
	// ErrNotObject is for a JSON value that is not an object.
	ErrNotObject = errors.New("not a JSON object")
	// ErrDuplicate is for a name that occurs twice in one object.
	ErrDuplicate = errors.New("a member occurs twice")
)

// Member is a member of an object. Name has its escapes resolved. Value is JSON text without white space around it.
type Member struct {
	Name, Value string
}

// Object reads data as one object and returns its members in order. maxDepth is how deep arrays and objects may nest; the
// object itself is level 1. With ErrDuplicate, Object returns the members up to the duplicate, the last perhaps without
// its value. So a caller can tell whether another problem comes first.
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

// String reads the value of a Member that must be a string. The result is a copy, so it does not keep the whole text in
// memory.
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

// scanner reads one JSON text. Its methods move pos past what they read, and report whether it was there.
type scanner struct {
	text string
	pos  int

	open  []level  // the arrays and objects around pos, outermost first
	names []string // the names read in them so far

	members   []Member // the result
	start     int      // where the value of the last member begins
	duplicate bool
}

// level is an open array or object.
type level struct {
	end   byte // the closing bracket
	names int  // where its names begin in scanner.names
	// set is for an object with many names. With a list, each name would be compared with all before it, and a hostile
	// object has thousands.
	set map[string]struct{}
}

// manyNames is the number of names for which a list is faster than a set.
const manyNames = 16

// value reads one value. Each round reads a scalar or a bracket that opens, then the brackets that close after it.
func (s *scanner) value(maxDepth int) bool {
	for {
		switch c := s.peek(); c {
		case '{', '[':
			if len(s.open) == maxDepth {
				return false
			}
			s.pos++
			end := c + 2 // in ASCII, '}' and ']' come two places after '{' and '['
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

// next moves from the end of a value to the next value, and leaves the arrays and objects that end in between.
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

// name reads a name and its colon.
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

// add remembers a name of the innermost object. It reports whether the name is new.
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

// scalar reads a value that begins with c and is neither array nor object.
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

// number reads a number (RFC 8259, section 6). It does not limit the range.
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

// quoted reads a string and returns the text between its quotes, with its escapes.
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

// unescape resolves the escapes in a text from quoted.
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

// peek returns the next byte, or 0 at the end. A zero byte is not valid anywhere in JSON.
func (s *scanner) peek() byte {
	if s.pos < len(s.text) {
		return s.text[s.pos]
	}
	return 0
}

// take moves past c and reports whether it was there.
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
