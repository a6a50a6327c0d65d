package storetest

import (
	"fmt"
	"slices"
	"testing"

	"github.com/latchkey-api/latchkey/fault"
	"github.com/latchkey-api/latchkey/store"
)

func storyspaceCreated(t *testing.T, s *store.Store) {
	addUser(t, s, "ada")
	got, err := s.CreateStoryspace(t.Context(), "ada", "barfood")
	must(t, err)
	if got.Name != "barfood" || !opaqueID.MatchString(got.ID) {
		t.Errorf("created %+v", got)
	}
	isStoryspace(t, s, got)
	again, err := s.CreateStoryspace(t.Context(), "ada", "barfood")
	must(t, err)
	if again.ID == got.ID {
		t.Errorf("two storyspaces have the id %q", got.ID)
	}
	isList(t, s, "ada", got, again)
}

func storyspaceUnknown(t *testing.T, s *store.Store) {
	addUser(t, s, "ada")
	made, err := s.CreateStoryspace(t.Context(), "ada", "barfood")
	must(t, err)
	for _, id := range []string{"", "1", "barfood", "%", "' OR 1=1 --", made.ID + " ", made.ID + "\x00", "\xff"} {
		got, err := s.Storyspace(t.Context(), id)
		isFault(t, fmt.Sprintf("id %q", id), err, fault.NotFound)
		if got != (store.Storyspace{}) {
			t.Errorf("id %q gives %+v with the error", id, got)
		}
	}
}

func storyspaceWithoutUser(t *testing.T, s *store.Store) {
	addUser(t, s, "ada")
	for _, username := range []string{"", "nobody", "ADA", "ada\x00", "\xff"} {
		_, err := s.CreateStoryspace(t.Context(), username, "barfood")
		isFault(t, fmt.Sprintf("user %q", username), err, fault.NotFound)
	}
	isList(t, s, "ada")
}

func storyspacesOwn(t *testing.T, s *store.Store) {
	addUser(t, s, "ada")
	addUser(t, s, "ben")
	want := map[string][]store.Storyspace{}
	for i := range 6 {
		username := []string{"ada", "ben"}[i%2]
		// Names in falling order, so that an order by name would show.
		made, err := s.CreateStoryspace(t.Context(), username, fmt.Sprint("name ", 9-i))
		must(t, err)
		want[username] = append(want[username], made)
	}
	isList(t, s, "ada", want["ada"]...)
	isList(t, s, "ben", want["ben"]...)
}

func storyspacesNone(t *testing.T, s *store.Store) {
	addUser(t, s, "ada")
	for _, username := range []string{"ada", "nobody", "", "ADA", "ada\x00", "\xff", "%"} {
		got, next, err := s.Storyspaces(t.Context(), username, store.Page{Size: 50})
		must(t, err)
		if got == nil || len(got) != 0 || !next.IsZero() {
			t.Errorf("user %q: got %#v and next page %q", username, got, next)
		}
	}
}

// manyRows is more than the largest page size of the API.
const manyRows = 205

func storyspacesPaged(t *testing.T, s *store.Store) {
	addUser(t, s, "ada")
	addUser(t, s, "ben")
	var want []store.Storyspace
	for i := range manyRows {
		made, err := s.CreateStoryspace(t.Context(), "ada", fmt.Sprint(i))
		must(t, err)
		want = append(want, made)
		_, err = s.CreateStoryspace(t.Context(), "ben", "between")
		must(t, err)
	}
	for _, size := range []int{1, 2, 3, 40, 41, 50, 102, 103, 200, manyRows - 1, manyRows, manyRows + 1} {
		var got []store.Storyspace
		pages := 0
		for page := (store.Page{Size: size}); ; {
			rows, next, err := s.Storyspaces(t.Context(), "ada", page)
			must(t, err)
			got = append(got, rows...)
			pages++
			if next.IsZero() {
				break
			}
			if len(rows) != size {
				t.Fatalf("page size %d: a page of %d rows is not the last", size, len(rows))
			}
			// With the cursor as text, as a caller does it.
			page.After, err = store.ParseCursor(store.ListStoryspaces, next.String())
			must(t, err)
		}
		if wantPages := (manyRows + size - 1) / size; pages != wantPages {
			t.Errorf("page size %d: %d pages, want %d", size, pages, wantPages)
		}
		if !slices.Equal(got, want) {
			t.Errorf("page size %d: %d rows, lost, repeated or out of order, want %d", size, len(got), len(want))
		}
	}
}

func storyspacesPagedWhileGrowing(t *testing.T, s *store.Store) {
	addUser(t, s, "ada")
	var want []store.Storyspace
	add := func() {
		made, err := s.CreateStoryspace(t.Context(), "ada", fmt.Sprint(len(want)))
		must(t, err)
		want = append(want, made)
	}
	for range 20 {
		add()
	}
	var got []store.Storyspace
	for page := (store.Page{Size: 4}); ; {
		rows, next, err := s.Storyspaces(t.Context(), "ada", page)
		must(t, err)
		got = append(got, rows...)
		if next.IsZero() {
			break
		}
		page.After = next
		if len(want) < 50 {
			add()
			add()
			add()
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("%d rows, lost, repeated or out of order, want %d", len(got), len(want))
	}
}

// storyspacesFollowed reads page after page while others add rows: it must get every row, once and in order.
func storyspacesFollowed(t *testing.T, s *store.Store) {
	const writers, each = 4, 50
	addUser(t, s, "ada")
	done := make(chan struct{})
	go func() {
		defer close(done)
		together(writers, func(i int) {
			for n := range each {
				if _, err := s.CreateStoryspace(t.Context(), "ada", fmt.Sprint(i, " ", n)); err != nil {
					t.Error(err)
				}
			}
		})
	}()
	seen := make([]int, writers)
	count := func(rows []store.Storyspace) {
		for _, row := range rows {
			var i, n int
			if _, err := fmt.Sscan(row.Name, &i, &n); err != nil || n != seen[i] {
				t.Errorf("row %q after %d rows of its writer", row.Name, seen[i])
			}
			seen[i]++
		}
	}
	page := store.Page{Size: 3}
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
		}
		rows, next, err := s.Storyspaces(t.Context(), "ada", page)
		must(t, err)
		if !next.IsZero() {
			count(rows)
			page.After, running = next, true
		} else if !running {
			count(rows)
		}
	}
	for i, n := range seen {
		if n != each {
			t.Errorf("writer %d: %d rows, want %d", i, n, each)
		}
	}
}

func storyspacesBadPage(t *testing.T, s *store.Store) {
	addUser(t, s, "ada")
	for _, size := range []int{0, -1} {
		_, _, err := s.Storyspaces(t.Context(), "ada", store.Page{Size: size})
		isFault(t, fmt.Sprintf("page size %d", size), err, fault.Internal)
	}
}

func texts(t *testing.T, s *store.Store) {
	names := []string{
		"", " ", "a name with spaces ", "Привет", "日本語", "👩‍👩‍👧‍👦 🇩🇪", "\u202egnp.exe", "e\u0301", "\ufeff", "\u0001\u001f\u007f",
		"\r\n\t", `'; DROP TABLE accounts; --`, `"double" 'single' \back\`, "$1 ?1 %s {}", "NULL", "0123", "1e3", "\U0010ffff", "\ufffd",
	}
	addUser(t, s, "ada")
	var want []store.Storyspace
	for i, name := range names {
		made, err := s.CreateStoryspace(t.Context(), "ada", name)
		must(t, err)
		if made.Name != name {
			t.Errorf("created %q, want %q", made.Name, name)
		}
		isStoryspace(t, s, made)
		want = append(want, made)

		account := store.Account{
			ID: fmt.Sprint("a", i), Username: fmt.Sprint(i, name), Email: name, FirstName: name, LastName: name, AvatarURL: name,
		}
		_, err = s.CreateAccount(t.Context(), account)
		must(t, err)
		isAccount(t, s, account)
	}
	isList(t, s, "ada", want...)
}

func unstorableTexts(t *testing.T, s *store.Store) {
	addUser(t, s, "ada")
	for _, text := range []string{"\x00", "a\x00b", "\xff", "cut \xe2\x82"} {
		_, err := s.CreateStoryspace(t.Context(), "ada", text)
		isFault(t, fmt.Sprintf("name %q", text), err, fault.Invalid)
		for _, a := range []store.Account{
			{Username: text},
			{Username: "ben", ID: text},
			{Username: "ben", Email: text},
			{Username: "ben", FirstName: text},
			{Username: "ben", LastName: text},
			{Username: "ben", AvatarURL: text},
		} {
			_, err := s.CreateAccount(t.Context(), a)
			isFault(t, fmt.Sprintf("account %+q", a), err, fault.Invalid)
		}
	}
	isList(t, s, "ada")
	_, err := s.AccountByUsername(t.Context(), "ben")
	isFault(t, "a refused account", err, fault.NotFound)
}

func addUser(t *testing.T, s *store.Store, username string) {
	t.Helper()
	_, err := s.CreateAccount(t.Context(), store.Account{Username: username})
	must(t, err)
}

// isList checks that a user has exactly these storyspaces, in this order.
func isList(t *testing.T, s *store.Store, username string, want ...store.Storyspace) {
	t.Helper()
	got, next, err := s.Storyspaces(t.Context(), username, store.Page{Size: 200})
	must(t, err)
	if !slices.Equal(got, want) || !next.IsZero() {
		t.Errorf("%s has %+v (next page %q), want %+v", username, got, next, want)
	}
}

func isStoryspace(t *testing.T, s *store.Store, want store.Storyspace) {
	t.Helper()
	got, err := s.Storyspace(t.Context(), want.ID)
	must(t, err)
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
