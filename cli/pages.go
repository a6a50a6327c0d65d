package cli

import (
	"github.com/latchkey-api/latchkey/store"
)

// pageSize is how many rows the lists read at once.
const pageSize = 200

// pages reads a list from its beginning: limit rows, or every row where limit is 0. more says that there are others.
func pages[T any](limit int, read func(store.Page) ([]T, store.Cursor, error)) (rows []T, more bool, err error) {
	rows = []T{}
	page := store.Page{Limit: pageSize}
	for {
		if limit > 0 {
			page.Limit = min(pageSize, limit-len(rows))
		}
		found, next, err := read(page)
		if err != nil {
			return nil, false, err
		}
		rows = append(rows, found...)
		if next.IsZero() || len(rows) == limit {
			return rows, !next.IsZero(), nil
		}
		page.After = next
	}
}
