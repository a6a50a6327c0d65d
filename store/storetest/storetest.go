// Package storetest is the contract of the store, of the resources and of keys.Store, as tests. Each engine's own tests run it.
package storetest

import (
	"errors"
	"fmt"
	"regexp"
	"sync"
	"testing"

	"github.com/latchkey-api/latchkey/fault"
	"github.com/latchkey-api/latchkey/store"
)

// Exercise runs the whole contract. It calls open for an empty store for each part; open closes the store when the part ends.
func Exercise(t *testing.T, open func(t *testing.T) *store.Store) {
	t.Helper()
	parts := []struct {
		name string
		run  func(*testing.T, *store.Store)
	}{
		{"an account is created and found", accountCreated},
		{"an account's id may be chosen", accountIDChosen},
		{"a username or an id that is taken is a conflict", accountConflict},
		{"an unknown account is not found", accountUnknown},
		{"usernames and ids are compared byte by byte", accountBytewise},
		{"of many who register one username one wins", accountRace},
		{"a storyspace is created and found", storyspaceCreated},
		{"an unknown storyspace is not found", storyspaceUnknown},
		{"a storyspace needs a known user", storyspaceWithoutUser},
		{"a user's storyspaces are the user's own, oldest first", storyspacesOwn},
		{"a list without rows is empty, not nil", storyspacesNone},
		{"pages lose and repeat nothing", storyspacesPaged},
		{"pages lose and repeat nothing while rows are added", storyspacesPagedWhileGrowing},
		{"a user's storyspaces can be followed while others add", storyspacesFollowed},
		{"a page has at least one row", storyspacesBadPage},
		{"every text that JSON can carry comes back as it was", texts},
		{"a text that not every engine can hold is refused", unstorableTexts},
		{"the demo rows are inserted once", demoOnce},
		{"the demo rows touch nothing that exists", demoBesideOthers},
		{"the demo rows do not take an id that is in use", demoIDTaken},
		{"a key is created with its event, and found", keyCreated},
		{"times of a key are UTC and whole microseconds", keyTimes},
		{"a key's id or predecessor that is taken is a conflict", keyConflict},
		{"of many who create one key one wins", keyRace},
		{"an unknown key is not found, and nothing of it is written", keyUnknown},
		{"many keys are found with one query", keysByID},
		{"keys, events and instances that not every engine can hold are refused", unstorableKeys},
		{"whether a key could authenticate now", keysUsable},
		{"the sealed keys", keysSealed},
		{"a key is changed with its event, and only what may change", keyChanged},
		{"a change that is decided against writes nothing", keyNotChanged},
		{"a change that panics holds nothing up", keyChangePanics},
		{"every change moves the version by one, and the key carries it", keyVersions},
		{"of many changes of one key none is lost", keyChangesNotLost},
		{"the changes since a version", keyChangesSince},
		{"changes that are too many are not read", keyChangesTooMany},
		{"the changes can be followed while keys change", keyChangesFollowed},
		{"the last use moves forward only, and is no change", keysTouched},
		{"a key is rotated once", keyRotated},
		{"a successor that cannot be kept leaves the key as it was", keyRotationConflict},
		{"of many who rotate one key at once one wins", keyRotationRace},
		{"keys are listed by client and state, oldest first, without loss", keysListed},
		{"a list without keys is empty, not nil", keysListedNone},
		{"a cursor belongs to its list", listsKeptApart},
		{"the audit keeps every row as it was, in its order", auditAppended},
		{"the audit is listed by key and time, without loss", auditFiltered},
		{"the audit can be followed while rows are added", auditFollowed},
		{"the audit forgets what is older, and no more", auditPruned},
		{"instances have heartbeats, are live and leave", instances},
		{"many heartbeats at once", instancesTogether},
		{"the shares of an instance are kept while it is live", sharesUpdated},
		{"of many who update shares each reads what the one before wrote", sharesUpdatedTogether},
		{"a store answers that it is ready", func(t *testing.T, s *store.Store) { must(t, s.Ready(t.Context())) }},
	}
	for _, part := range parts {
		t.Run(part.name, func(t *testing.T) { part.run(t, open(t)) })
	}
}

// opaqueID is the form of an id in a path.
var opaqueID = regexp.MustCompile(`^[A-Za-z0-9._-]{16,64}$`)

func accountCreated(t *testing.T, s *store.Store) {
	full := store.Account{
		Username: "ada", Email: "ada@example.org", FirstName: "Ada", LastName: "Lovelace", AvatarURL: "https://example.org/a.png",
	}
	for _, want := range []store.Account{full, {Username: "bare"}} {
		got, err := s.CreateAccount(t.Context(), want)
		must(t, err)
		if !opaqueID.MatchString(got.ID) {
			t.Errorf("%s: id %q is not opaque", want.Username, got.ID)
		}
		want.ID = got.ID
		if got != want {
			t.Errorf("created %+v, want %+v", got, want)
		}
		isAccount(t, s, want)
	}
}

func accountIDChosen(t *testing.T, s *store.Store) {
	want := store.Account{ID: "2112", Username: "stevenm"}
	got, err := s.CreateAccount(t.Context(), want)
	must(t, err)
	if got != want {
		t.Errorf("created %+v, want %+v", got, want)
	}
	isAccount(t, s, want)
}

func accountConflict(t *testing.T, s *store.Store) {
	first := store.Account{ID: "2112", Username: "stevenm", Email: "first@example.org"}
	_, err := s.CreateAccount(t.Context(), first)
	must(t, err)
	for _, second := range []store.Account{
		{Username: "stevenm", Email: "second@example.org"},
		{ID: "2113", Username: "stevenm"},
		{ID: "2112", Username: "foobar"},
		{ID: "2112", Username: "stevenm"},
	} {
		_, err := s.CreateAccount(t.Context(), second)
		isFault(t, fmt.Sprintf("create %+v", second), err, fault.Conflict)
	}
	isAccount(t, s, first)
	_, err = s.AccountByID(t.Context(), "2113")
	isFault(t, "the id of a refused account", err, fault.NotFound)
	_, err = s.AccountByUsername(t.Context(), "foobar")
	isFault(t, "the username of a refused account", err, fault.NotFound)
}

func accountUnknown(t *testing.T, s *store.Store) {
	_, err := s.CreateAccount(t.Context(), store.Account{ID: "2112", Username: "stevenm"})
	must(t, err)
	for _, key := range []string{"", "nobody", "%", "_______", "' OR 1=1 --", "steven\x00m", "stevenm\x00", "\xff", "\u202e"} {
		a, err := s.AccountByUsername(t.Context(), key)
		isFault(t, fmt.Sprintf("username %q", key), err, fault.NotFound)
		if a != (store.Account{}) {
			t.Errorf("username %q gives %+v with the error", key, a)
		}
		_, err = s.AccountByID(t.Context(), key)
		isFault(t, fmt.Sprintf("id %q", key), err, fault.NotFound)
	}
	// Neither is found by the other's name.
	_, err = s.AccountByUsername(t.Context(), "2112")
	isFault(t, "an id as username", err, fault.NotFound)
	_, err = s.AccountByID(t.Context(), "stevenm")
	isFault(t, "a username as id", err, fault.NotFound)
}

func accountBytewise(t *testing.T, s *store.Store) {
	// Precomposed and combining e-acute look alike and are two names.
	for i, username := range []string{"ada", "ADA", "Ada", "ada ", "\u00e9", "e\u0301", "01", "1", "1.0"} {
		want := store.Account{ID: fmt.Sprintf("Id%d", i), Username: username}
		_, err := s.CreateAccount(t.Context(), want)
		must(t, err)
		isAccount(t, s, want)
	}
	_, err := s.AccountByUsername(t.Context(), "aDa")
	isFault(t, "another case", err, fault.NotFound)
	_, err = s.AccountByID(t.Context(), "id0")
	isFault(t, "an id in another case", err, fault.NotFound)
}

func accountRace(t *testing.T, s *store.Store) {
	const racers = 20
	errs := make([]error, racers)
	made := make([]store.Account, racers)
	var wait sync.WaitGroup
	for i := range racers {
		wait.Go(func() {
			made[i], errs[i] = s.CreateAccount(t.Context(), store.Account{Username: "one", Email: fmt.Sprint(i)})
		})
	}
	wait.Wait()
	var winners []store.Account
	for i, err := range errs {
		if err == nil {
			winners = append(winners, made[i])
		} else {
			isFault(t, fmt.Sprintf("racer %d", i), err, fault.Conflict)
		}
	}
	if len(winners) != 1 {
		t.Fatalf("%d registrations of one username were accepted", len(winners))
	}
	isAccount(t, s, winners[0])
}

func demoOnce(t *testing.T, s *store.Store) {
	must(t, s.InsertDemo(t.Context()))
	must(t, s.InsertDemo(t.Context()))
	isAccount(t, s, store.Account{ID: "2112", Username: "stevenm"})
	isAccount(t, s, store.Account{ID: "2113", Username: "foobar"})
	isList(t, s, "stevenm", store.Storyspace{ID: "1", Name: "barfood"}, store.Storyspace{ID: "2", Name: "bazbars"})
	isList(t, s, "foobar", store.Storyspace{ID: "2113", Name: "barfood"})
}

func demoBesideOthers(t *testing.T, s *store.Store) {
	user, err := s.CreateAccount(t.Context(), store.Account{Username: "stevenm", Email: "s@example.org"})
	must(t, err)
	own, err := s.CreateStoryspace(t.Context(), "stevenm", "my own")
	must(t, err)
	must(t, s.InsertDemo(t.Context()))
	isAccount(t, s, user)
	isList(t, s, "stevenm", own)
	_, err = s.AccountByID(t.Context(), "2112")
	isFault(t, "the demo account whose name is taken", err, fault.NotFound)
	_, err = s.Storyspace(t.Context(), "1")
	isFault(t, "a storyspace of the demo account that is not there", err, fault.NotFound)
	isAccount(t, s, store.Account{ID: "2113", Username: "foobar"})
	isList(t, s, "foobar", store.Storyspace{ID: "2113", Name: "barfood"})
}

func demoIDTaken(t *testing.T, s *store.Store) {
	user, err := s.CreateAccount(t.Context(), store.Account{ID: "2113", Username: "somebody"})
	must(t, err)
	must(t, s.InsertDemo(t.Context()))
	isAccount(t, s, user)
	isList(t, s, "somebody")
	_, err = s.AccountByUsername(t.Context(), "foobar")
	isFault(t, "the demo account whose id is taken", err, fault.NotFound)
	isList(t, s, "stevenm", store.Storyspace{ID: "1", Name: "barfood"}, store.Storyspace{ID: "2", Name: "bazbars"})
}

// isAccount checks that want is found by its id and its username.
func isAccount(t *testing.T, s *store.Store, want store.Account) {
	t.Helper()
	byName, err := s.AccountByUsername(t.Context(), want.Username)
	must(t, err)
	byID, err := s.AccountByID(t.Context(), want.ID)
	must(t, err)
	if byName != want || byID != want {
		t.Errorf("by username %+v, by id %+v, want %+v", byName, byID, want)
	}
}

// isFault checks that an error has this code.
func isFault(t *testing.T, what string, err error, want fault.Code) {
	t.Helper()
	found, ok := errors.AsType[*fault.Error](err)
	if !ok || found.Code != want {
		t.Errorf("%s: got error %v, want %v", what, err, want)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
