package store

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math"
)

// Page says which part of a list is wanted: at most Limit rows, which must be 1 or more, of those that come after After.
type Page struct {
	Limit int
	After Cursor
}

// Cursor is a place in a list. The zero value stands before the first row, and where a list gives it as the next
// place, there is no more. Cursors can be compared with ==.
type Cursor struct {
	seq int64
}

// cursorVersion changes when the form of a cursor does, so that an old one is refused and not misread.
const cursorVersion = 1

// cursorBytes are the version, the position, and a checksum of both: it catches typing and cutting, it is no secret.
const cursorBytes = 1 + 8 + 4

var errCursor = errors.New("not a cursor of this service")

// IsZero reports whether c stands before the first row.
func (c Cursor) IsZero() bool { return c.seq == 0 }

// String is c as text for a URL: 18 characters of [A-Za-z0-9_-], and the empty text for the zero value.
func (c Cursor) String() string {
	if c.IsZero() {
		return ""
	}
	b := make([]byte, 0, cursorBytes)
	b = append(b, cursorVersion)
	b = binary.BigEndian.AppendUint64(b, uint64(c.seq)) //nolint:gosec // a position is never negative
	b = binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
	return base64.RawURLEncoding.EncodeToString(b)
}

// ParseCursor reads what String wrote, the empty text too, and refuses every other.
func ParseCursor(text string) (Cursor, error) {
	if text == "" {
		return Cursor{}, nil
	}
	if len(text) != base64.RawURLEncoding.EncodedLen(cursorBytes) {
		return Cursor{}, errCursor
	}
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(b) != cursorBytes {
		return Cursor{}, errCursor
	}
	seq := binary.BigEndian.Uint64(b[1:])
	if seq > math.MaxInt64 {
		return Cursor{}, errCursor
	}
	// Writing it again checks the version, the checksum and base64's spare bits in one.
	c := Cursor{seq: int64(seq)}
	if c.String() != text {
		return Cursor{}, errCursor
	}
	return c, nil
}
