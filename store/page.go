package store

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"time"

	"github.com/latchkey-api/latchkey/fault"
)

// List names a list that has pages. Its number is the first byte of the list's cursors, so that a cursor of one list is
// refused by every other. A cursor of another form would take a new number.
type List uint8

// The lists.
const (
	ListStoryspaces List = iota + 1
	ListKeys
	ListAudit
)

// Page says which part of a list is wanted: at most Limit rows, which must be 1 or more, of those that come after
// After, which must be a place in the same list.
type Page struct {
	Size  int
	After Cursor
}

// Cursor is a place in a list. The zero value stands before the first row, and where a list gives it as the next
// place, there is no more. Cursors can be compared with ==.
type Cursor struct {
	list List
	seq  int64
}

// cursorBytes are the list, the position, and a checksum of both: it catches typing and cutting, it is no secret.
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
	b = append(b, byte(c.list))
	b = binary.BigEndian.AppendUint64(b, uint64(c.seq)) //nolint:gosec // a position is never negative
	b = binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
	return base64.RawURLEncoding.EncodeToString(b)
}

// ParseCursor reads what String wrote of a cursor of that list, the empty text too, and refuses every other.
func ParseCursor(of List, text string) (Cursor, error) {
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
	// Writing it again checks the list, the checksum and base64's spare bits in one.
	c := Cursor{list: of, seq: int64(seq)}
	if c.String() != text {
		return Cursor{}, errCursor
	}
	return c, nil
}

// scanner is a *sql.Row, or a *sql.Rows at one of its rows.
type scanner interface {
	Scan(destinations ...any) error
}

// serverWork is what a list costs a server and this process, in times of what it costs this process to read it.
const serverWork = 4

// list reads a page, and gives the place where the next one begins, zero when there is none. args are the values of query
// from $3 on. The list is never nil.
func list[T any](
	ctx context.Context, s *Store, of List, page Page, scan func(from scanner, seq *int64) (T, error), query pagedQuery, args ...any,
) ([]T, Cursor, error) {
	if page.Size < 1 {
		return nil, Cursor{}, fault.Wrap(fault.Internal, fmt.Errorf("a page of %d rows", page.Size))
	}
	if !page.After.IsZero() && page.After.list != of {
		return nil, Cursor{}, fault.Wrap(fault.Internal, fmt.Errorf("a cursor of list %d for list %d", page.After.list, of))
	}
	found := []T{}
	var next Cursor
	err := s.fault(s.lister.run(ctx, s.db.pages(query), func(ctx context.Context, stmt statement) error {
		began := time.Now()
		defer func() {
			took := time.Since(began)
			if s.db.limit > 0 {
				took *= serverWork
			}
			s.lister.worked(took)
		}()
		// One row more than asked for tells whether there is a next page.
		rows, err := stmt.QueryContext(ctx, append([]any{page.After.seq, page.Size + 1}, args...)...)
		if err != nil {
			return err
		}
		defer rows.Close()
		if s.db.limit > 0 {
			// Until now a server has worked, and it may be on the same machine. How long cannot be told from how far it is.
			began = time.Now()
		}
		last, this := Cursor{list: of}, Cursor{list: of}
		for rows.Next() {
			one, err := scan(rows, &this.seq)
			if err != nil {
				return err
			}
			if this == last {
				continue
			}
			if len(found) == page.Size {
				next = last
				break
			}
			found, last = append(found, one), this
		}
		return rows.Err()
	}))
	if err != nil {
		return nil, Cursor{}, err
	}
	return found, next, nil
}
