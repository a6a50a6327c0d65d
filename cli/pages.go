package cli

import (
	"github.com/latchkey-api/latchkey/store"
)

// pageSize is how many rows are read at once.
const pageSize = 200

// pages reads the first rows of a list, at most maximum; 0 means all. more reports whether there are further rows.
func pages[T any](maximum int, read func(store.Page) ([]T, store.Cursor, error)) (rows []T, more bool, err error) {
	rows = []T{}
	page := store.Page{Size: pageSize}
	for {
		if maximum > 0 {
			page.Size = min(pageSize, maximum-len(rows))
		}
		found, next, err := read(page)
		if err != nil {
			return nil, false, err
		}
		rows = append(rows, found...)
		if next.IsZero() || len(rows) == maximum {
			return rows, !next.IsZero(), nil
		}
		page.After = next
	}
}
