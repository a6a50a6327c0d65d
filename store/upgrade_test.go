package store_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/latchkey-api/latchkey/fault"
	"github.com/latchkey-api/latchkey/keys"
	"github.com/latchkey-api/latchkey/store"
)

// testdata/release-1.db was written by the first release, in production: the demo rows, and ada with three storyspaces.
func TestAStoreOfTheFirstReleaseIsTakenOver(t *testing.T) {
	content, err := os.ReadFile("testdata/release-1.db")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "latchkey.db")
	write(t, file, string(content))
	production := store.Options{URL: "sqlite:" + file, Environment: "production"}
	applied, err := store.Migrate(t.Context(), production)
	if err != nil || len(applied) == 0 || applied[0] != "00004_keys.sql" {
		t.Fatalf("applied %v, %v, want what came after the first release", applied, err)
	}
	_, err = store.Open(t.Context(), options(file))
	isSentence(t, err, "made for production")

	s, err := store.Open(t.Context(), production)
	if err != nil {
		t.Fatal(err)
	}
	defer closeNow(t, s)
	if err := s.Ready(t.Context()); err != nil {
		t.Error(err)
	}
	for _, want := range []store.Account{
		{ID: "2112", Username: "stevenm"},
		{ID: "2113", Username: "foobar"},
		{
			ID: "ada", Username: "ada", Email: "ada@example.org", FirstName: "Ada", LastName: "Lovelace",
			AvatarURL: "https://example.org/ada.png",
		},
	} {
		if got, err := s.AccountByUsername(t.Context(), want.Username); err != nil || got != want {
			t.Errorf("got %+v, %v, want %+v", got, err, want)
		}
	}
	for username, want := range map[string][]store.Storyspace{
		"stevenm": {{ID: "1", Name: "barfood"}, {ID: "2", Name: "bazbars"}},
		"foobar":  {{ID: "2113", Name: "barfood"}},
		"ada": {
			{ID: "pbojjiuir66jczynh5jehek4rg", Name: "notes"},
			{ID: "pvwecm22yfutxeyqd4npsbu3jn", Name: "日本語"},
			{ID: "3hyw5ppakuvgmvy2ioldl3wqij", Name: ""},
		},
	} {
		got, _, err := s.Storyspaces(t.Context(), username, store.Page{Limit: 200})
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s has %+v, %v, want %+v", username, got, err, want)
		}
	}
	// It goes on where it was: new rows of the old kind come last, and there are keys.
	made, err := s.CreateStoryspace(t.Context(), "foobar", "later")
	if err != nil {
		t.Fatal(err)
	}
	if got, _, err := s.Storyspaces(t.Context(), "foobar", store.Page{Limit: 2}); err != nil || got[1] != made {
		t.Errorf("got %+v, %v, want %+v at the end", got, err, made)
	}
	_, err = s.CreateAccount(t.Context(), store.Account{Username: "ada"})
	isCode(t, "a username of before", err, fault.Conflict)
	if has, err := s.HasKeys(t.Context()); err != nil || has {
		t.Errorf("keys from nowhere: %v, %v", has, err)
	}
	if key, err := s.CreateKey(t.Context(), newKey("E1"), keys.Event{Target: "E1"}); err != nil || key.Version != 1 {
		t.Errorf("the first key is %+v, %v", key, err)
	}
}
