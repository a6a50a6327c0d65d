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

// List is a list that has pages. Its number is the first byte of its cursors, so that every other list refuses them. Another
// form of cursor needs a new number.
type List uint8

// The lists.
const (
	ListStoryspaces List = iota + 1
	ListKeys
	ListAudit
)

// Page is a part of a list: at most Size rows, 1 or more, after the cursor After, which must be of the same list.
type Page struct {
	Size  int
	After Cursor
}

// Cursor is a position in a list. The zero value is before the first row; as the cursor of the next page it means that there
// is none. Cursors can be compared with ==.
type Cursor struct {
	list List
	seq  int64
}

// cursorBytes are the list, the position, and a checksum of both, which catches typing errors and is no secret.
const cursorBytes = 1 + 8 + 4

var errCursor = errors.New("not a cursor of this service")

// IsZero reports whether c is before the first row.
func (c Cursor) IsZero() bool { return c.seq == 0 }

// String is c for a URL: 18 characters of [A-Za-z0-9_-], or "" for the zero value.
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

// ParseCursor reads the String of a cursor of that list, "" too, and refuses everything else.
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
	// Encoding it again checks the list, the checksum and the unused bits of base64 at once.
	c := Cursor{list: of, seq: int64(seq)}
	if c.String() != text {
		return Cursor{}, errCursor
	}
	return c, nil
}

// scanner is a *sql.Row or *sql.Rows.
type scanner interface {
	Scan(destinations ...any) error
}

// serverWork is the cost of a list to the database server and this process, in multiples of the time to read its rows here.
const serverWork = 4

// list reads a page and returns the cursor of the next one, zero if there is none. args are the query's values from $3 on.
// The list is never nil.
func list[T any](
	ctx context.Context, s *Store, of List, page Page, scan func(from scanner, seq *int64) (T, error), query pagedQuery, args ...any,
) ([]T, Cursor, error) {
	if page.Size < 1 {
		return nil, Cursor{}, fault.Wrap(fault.Internal, fmt.Errorf("a page size of %d: it must be 1 or more", page.Size))
	}
	if !page.After.IsZero() && page.After.list != of {
		return nil, Cursor{}, fault.Wrap(fault.Internal, fmt.Errorf("a cursor of list %d was used for list %d", page.After.list, of))
	}
	found := []T{}
	var next Cursor
	err := s.fault(s.lists.run(ctx, s.db.pages(query), func(ctx context.Context, stmt statement) error {
		began := time.Now()
		defer func() {
			took := time.Since(began)
			if s.db.timeout > 0 {
				took *= serverWork
			}
			s.lists.charge(took)
		}()
		// One row more than the page shows whether there is a next one.
		rows, err := stmt.QueryContext(ctx, append([]any{page.After.seq, page.Size + 1}, args...)...)
		if err != nil {
			return err
		}
		defer rows.Close()
		if s.db.timeout > 0 {
			// The wait for the server is not charged: it may be work on this machine, or only distance.
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
