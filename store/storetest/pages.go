package storetest

import (
	"fmt"
	"testing"

	"github.com/latchkey-api/latchkey/fault"
	"github.com/latchkey-api/latchkey/keys"
	"github.com/latchkey-api/latchkey/store"
)

func keysListed(t *testing.T, s *store.Store) {
	var all []store.ListedKey
	for i := range 41 {
		// Ids in falling order, so that an order by id would show.
		r := newKey(fmt.Sprintf("E%03d", 100-i))
		r.Client = []string{"acme", "ACME", "' OR 1=1 --"}[i%3]
		r.State = []keys.State{keys.Enabled, keys.Disabled, keys.Revoked, keys.Enabled}[i%4]
		all = append(all, store.ListedKey{Record: addKey(t, s, r)})
	}
	// The order is that of creation, whatever changes.
	all[20].Record = setState(t, s, all[20].ID, keys.Disabled)
	// Each rotated key comes with the time its successor was created, which may be on another page, and be rotated itself.
	for _, i := range []int{3, 17, 40, 41} {
		id := all[i].ID
		next := newKey("next" + id)
		next.Client, next.CreatedAt = all[i].Client, at(60+i)
		old, successor, err := s.RotateKey(t.Context(), id, newEvent(keys.ActionRotate, id),
			func(*keys.Record) (keys.Record, error) { return next, nil })
		must(t, err)
		all[i] = store.ListedKey{Record: old, SuccessorCreatedAt: successor.CreatedAt}
		all = append(all, store.ListedKey{Record: successor})
	}
	filters := []store.KeyFilter{
		{},
		{Client: "acme"},
		{Client: "ACME"},
		{Client: "' OR 1=1 --"},
		{State: keys.Enabled},
		{State: keys.Revoked},
		{Client: "acme", State: keys.Disabled},
		{Client: "ACME", State: keys.Enabled},
	}
	for _, filter := range filters {
		want := []store.ListedKey{}
		for _, r := range all {
			if (filter.Client == "" || filter.Client == r.Client) && (filter.State == "" || filter.State == r.State) {
				want = append(want, r)
			}
		}
		if len(want) < 3 {
			t.Fatalf("filter %+v proves nothing with %d keys", filter, len(want))
		}
		for _, size := range []int{1, 2, 3, len(want) - 1, len(want), len(want) + 1, 200} {
			got := pages(t, store.ListKeys, size, func(page store.Page) ([]store.ListedKey, store.Cursor, error) {
				return s.Keys(t.Context(), filter, page)
			})
			same(t, fmt.Sprintf("filter %+v, page size %d", filter, size), got, want)
		}
	}
}

func keysListedNone(t *testing.T, s *store.Store) {
	isEmpty := func(filter store.KeyFilter) {
		t.Helper()
		got, next, err := s.Keys(t.Context(), filter, store.Page{Size: 50})
		if err != nil || got == nil || len(got) != 0 || !next.IsZero() {
			t.Errorf("filter %+v: got %#v, next page %q, %v", filter, got, next, err)
		}
	}
	isEmpty(store.KeyFilter{})
	addKey(t, s, newKey("E1"))
	for _, client := range []string{"nobody", "Acme", "%", "\xff", "acme\x00"} {
		isEmpty(store.KeyFilter{Client: client})
	}
	for _, state := range []keys.State{"odd", "\xff", keys.Revoked} {
		isEmpty(store.KeyFilter{State: state})
		isEmpty(store.KeyFilter{Client: "acme", State: state})
	}
}

func listsKeptApart(t *testing.T, s *store.Store) {
	addUser(t, s, "ada")
	for i := range 2 {
		addKey(t, s, newKey(fmt.Sprint("E", i)))
		_, err := s.CreateStoryspace(t.Context(), "ada", "x")
		must(t, err)
	}
	lists := map[store.List]func(store.Page) (store.Cursor, error){
		store.ListKeys: func(page store.Page) (store.Cursor, error) {
			_, next, err := s.Keys(t.Context(), store.KeyFilter{}, page)
			return next, err
		},
		store.ListAudit: func(page store.Page) (store.Cursor, error) {
			_, next, err := s.Audit(t.Context(), store.AuditFilter{}, page)
			return next, err
		},
		store.ListStoryspaces: func(page store.Page) (store.Cursor, error) {
			_, next, err := s.Storyspaces(t.Context(), "ada", page)
			return next, err
		},
	}
	for list, read := range lists {
		for _, size := range []int{0, -1} {
			_, err := read(store.Page{Size: size})
			isFault(t, fmt.Sprintf("list %d, page size %d", list, size), err, fault.Internal)
		}
		next, err := read(store.Page{Size: 1})
		must(t, err)
		for other, read := range lists {
			_, errText := store.ParseCursor(other, next.String())
			_, errRead := read(store.Page{Size: 1, After: next})
			if other == list {
				must(t, errText)
				must(t, errRead)
				continue
			}
			if errText == nil {
				t.Errorf("the text of a cursor of list %d was taken for list %d", list, other)
			}
			isFault(t, fmt.Sprintf("a cursor of list %d for list %d", list, other), errRead, fault.Internal)
		}
	}
}

// pages reads a whole list page by page, with cursors as text as a caller does, and checks the page sizes.
func pages[T any](
	t *testing.T, of store.List, size int, read func(store.Page) ([]T, store.Cursor, error),
) []T {
	t.Helper()
	got := []T{}
	for page := (store.Page{Size: size}); ; {
		rows, next, err := read(page)
		must(t, err)
		got = append(got, rows...)
		if next.IsZero() {
			if len(rows) > size || len(rows) == 0 && len(got) > 0 {
				t.Errorf("page size %d: the last page has %d rows", size, len(rows))
			}
			return got
		}
		if len(rows) != size {
			t.Fatalf("page size %d: a page of %d rows is not the last", size, len(rows))
		}
		page.After, err = store.ParseCursor(of, next.String())
		must(t, err)
	}
}
