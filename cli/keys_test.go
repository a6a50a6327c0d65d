package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/latchkey-api/latchkey/client"
	"github.com/latchkey-api/latchkey/handlers"
	"github.com/latchkey-api/latchkey/keys"
	"github.com/latchkey-api/latchkey/keys/keystring"
)

// makeKey runs a command that makes a key. It fails unless stdout is one key string and nothing else.
func makeKey(t *testing.T, args ...string) (key keystring.Key, stderr string) {
	t.Helper()
	code, stdout, stderr := run(t, args...)
	if code != 0 {
		t.Fatalf("%v: %d %s", args, code, stderr)
	}
	text, ended := strings.CutSuffix(stdout, "\n")
	key, err := keystring.Parse(text)
	if err != nil || !ended {
		t.Fatalf("%v printed %q: %v", args, stdout, err)
	}
	if strings.Contains(stderr, key.Reveal()[21:64]) {
		t.Errorf("%v says the secret: %s", args, stderr)
	}
	return key, stderr
}

// decodeJSON runs a command with --json and decodes stdout into out, without unknown members.
func decodeJSON(t *testing.T, out any, args ...string) {
	t.Helper()
	code, stdout, stderr := run(t, append(args, "--json")...)
	if code != 0 || stderr != "" {
		t.Fatalf("%v: %d, says %q", args, code, stderr)
	}
	decoder := json.NewDecoder(strings.NewReader(stdout))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(out); err != nil {
		t.Fatalf("%v printed %s: %v", args, stdout, err)
	}
}

func TestKeysCreateAndRevokeBesideAServer(t *testing.T) {
	s := serve(t)
	s.inItsFolder(t)
	for _, kind := range []string{"ed25519", "hs256"} {
		t.Run(kind, func(t *testing.T) {
			key, stderr := makeKey(t, "keys", "create", "--client=acme", "--scope=accounts:read", "--scope=accounts:write", "--kind="+kind)
			if !strings.Contains(stderr, key.ID()) || !strings.Contains(stderr, "acme") || !strings.Contains(stderr, "accounts:read accounts:write") || !strings.Contains(stderr, "once") {
				t.Errorf("it says %q", stderr)
			}
			code, token, stderr := run(t, "token", "--key="+key.Reveal())
			if code != 0 {
				t.Fatalf("token: %d %s", code, stderr)
			}
			token = strings.TrimSpace(token)
			if answer := s.call(t, token, "GET", "/service/account/stevenm", "", nil); answer.StatusCode != http.StatusOK {
				t.Fatalf("%d %s", answer.StatusCode, detailOf(t, answer))
			}
			t.Setenv("LATCHKEY_KEY", key.Reveal())
			_, narrowed, _ := run(t, "token", "--ttl=1m", "--scope=accounts:write")
			if answer := s.call(t, strings.TrimSpace(narrowed), "GET", "/service/account/stevenm", "", nil); answer.StatusCode != http.StatusForbidden {
				t.Errorf("a narrowed token: %d", answer.StatusCode)
			}

			code, stdout, stderr := run(t, "keys", "revoke", key.ID())
			revoked := time.Now()
			if code != 0 || stdout != "" || !strings.Contains(stderr, key.ID()+" is revoked") {
				t.Fatalf("revoke: %d %q %s", code, stdout, stderr)
			}
			answer := s.call(t, token, "GET", "/service/account/stevenm", "", nil)
			for answer.StatusCode == http.StatusOK && time.Since(revoked) < 10*time.Second {
				answer = s.call(t, token, "GET", "/service/account/stevenm", "", nil)
			}
			if took := time.Since(revoked); took > time.Second {
				t.Errorf("it was refused after %s", took)
			}
			if answer.StatusCode != http.StatusUnauthorized || detailOf(t, answer) != "Incorrect API token" {
				t.Errorf("the revoked key: %d", answer.StatusCode)
			}
		})
	}
}

// TestKeysJSONEqualsHTTP compares the output of --json with the answers of the HTTP API.
func TestKeysJSONEqualsHTTP(t *testing.T) {
	s := serve(t)
	s.inItsFolder(t)
	same := func(path string, args ...string) {
		t.Helper()
		var theirs, ours any
		s.call(t, mintFor(t, s.admin), "GET", path, "", &theirs)
		decodeJSON(t, &ours, args...)
		if theirs == nil || !reflect.DeepEqual(ours, theirs) {
			t.Errorf("%v printed\n%v\nGET %s answers\n%v", args, ours, path, theirs)
		}
	}
	var made handlers.NewKey
	decodeJSON(t, &made, "keys", "create", "--client=acme", "--scope=accounts:read", "--rate=0.5", "--burst=7", "--expires=24h")
	if key, err := keystring.Parse(made.Secret); err != nil || key.ID() != made.Key.ID || made.Key.Rate != 0.5 || made.Key.Burst != 7 {
		t.Fatalf("%+v %v", made.Key, err)
	}
	same("/service/keys/"+made.Key.ID, "keys", "show", made.Key.ID)
	for _, verb := range []string{"disable", "enable"} {
		var ours, theirs handlers.Key
		decodeJSON(t, &ours, "keys", verb, made.Key.ID)
		s.call(t, mintFor(t, s.admin), "GET", "/service/keys/"+made.Key.ID, "", &theirs)
		if !reflect.DeepEqual(ours, theirs) || ours.State != verb+"d" {
			t.Errorf("%s printed %+v, HTTP answers %+v", verb, ours, theirs)
		}
	}
	var rotated handlers.RotatedKey
	decodeJSON(t, &rotated, "keys", "rotate", made.Key.ID, "--grace=1h")
	if key, err := keystring.Parse(rotated.Secret); err != nil || key.ID() != rotated.Key.ID || rotated.Replaces.ID != made.Key.ID {
		t.Fatalf("%+v %v", rotated.Key, err)
	}
	same("/service/keys?client=acme", "keys", "list", "--client=acme")

	var revoked handlers.Key
	decodeJSON(t, &revoked, "keys", "revoke", made.Key.ID)
	var confirmed handlers.ConfirmedKey
	decodeJSON(t, &confirmed, "keys", "revoke", made.Key.ID, "--wait")
	if !reflect.DeepEqual(confirmed.Key, revoked) || revoked.State != "revoked" || len(confirmed.Confirmed) != 1 || confirmed.Late == nil || len(confirmed.Late) != 0 {
		t.Errorf("%+v and then %+v", revoked, confirmed)
	}
	same("/service/keys?client=acme&state=revoked", "keys", "list", "--client=acme", "--state=revoked")
	same("/service/keys?client=nobody", "keys", "list", "--client=nobody")
	same("/service/audit", "keys", "audit")
	same("/service/audit?limit=2&key="+made.Key.ID, "keys", "audit", "--limit=2", "--key="+made.Key.ID)
	same("/service/audit?since=2999-01-01T00:00:00Z", "keys", "audit", "--since=2999-01-01T00:00:00Z")
	same("/service/audit?since="+time.Now().Add(-time.Hour).UTC().Format(time.RFC3339), "keys", "audit", "--since=1h")

	var events []handlers.Event
	decodeJSON(t, &events, "keys", "audit", "--key="+made.Key.ID)
	var actions []string
	for _, e := range events {
		actions = append(actions, e.Actor+" "+e.Action)
	}
	if want := []string{"cli create", "cli disable", "cli enable", "cli rotate", "cli revoke"}; !slices.Equal(actions, want) {
		t.Errorf("the audit has %v, want %v", actions, want)
	}
}

func TestKeysRotate(t *testing.T) {
	inEmptyFolder(t)
	for _, tt := range []struct {
		args   []string
		grace  time.Duration
		stderr string
	}{
		{nil, keys.DefaultGrace, "is accepted until"},
		{[]string{"--grace=1h"}, time.Hour, "is accepted until"},
		{[]string{"--grace=0s"}, 0, "running servers refuse within a second"},
		{[]string{"--grace=720h"}, 100 * time.Hour, "is accepted until"}, // its own expiry comes first
	} {
		old, _ := makeKey(t, "keys", "create", "--client=acme", "--scope=accounts:read", "--expires=100h")
		next, stderr := makeKey(t, append([]string{"keys", "rotate", old.ID()}, tt.args...)...)
		if !strings.Contains(stderr, next.ID()) || !strings.Contains(stderr, old.ID()+", which "+tt.stderr) {
			t.Errorf("%v: it says %q", tt.args, stderr)
		}
		var before, after handlers.Key
		decodeJSON(t, &before, "keys", "show", old.ID())
		decodeJSON(t, &after, "keys", "show", next.ID())
		made, err := time.Parse(time.RFC3339, after.CreatedAt)
		if err != nil {
			t.Fatal(err)
		}
		ends, err := time.Parse(time.RFC3339, before.ExpiresAt)
		if err != nil {
			t.Fatal(err)
		}
		if off := ends.Sub(made) - tt.grace; off < -5*time.Second || off > time.Second {
			t.Errorf("%v: the old key ends %s after its successor was made, want %s", tt.args, ends.Sub(made), tt.grace)
		}
		if before.RotatedTo != next.ID() || after.RotatedFrom != old.ID() || next.ID() == old.ID() {
			t.Errorf("%+v and %+v", before, after)
		}
		if code, stdout, stderr := run(t, "keys", "rotate", old.ID()); code != 1 || stdout != "" || !strings.Contains(stderr, next.ID()) {
			t.Errorf("rotated again: %d %q %s", code, stdout, stderr)
		}
	}
}

func TestKeysRotateTwiceAtOnce(t *testing.T) {
	inEmptyFolder(t)
	old, _ := makeKey(t, "keys", "create", "--client=acme", "--scope=accounts:read")
	var calls sync.WaitGroup
	var codes [2]int
	var stdout, stderr [2]bytes.Buffer
	for i := range codes {
		calls.Go(func() {
			codes[i] = Main(t.Context(), []string{"latchkey", "keys", "rotate", old.ID()}, &stdout[i], &stderr[i])
		})
	}
	calls.Wait()
	lost := slices.Index(codes[:], 1)
	if lost < 0 || codes[1-lost] != 0 || stdout[lost].Len() != 0 || !strings.Contains(stderr[lost].String(), "successor already") {
		t.Errorf("exit codes %v; they say\n%s\n%s", codes, stderr[0].String(), stderr[1].String())
	}
	var list []handlers.ListedKey
	if decodeJSON(t, &list, "keys", "list"); len(list) != 2 {
		t.Errorf("%d keys, want the old one and one successor", len(list))
	}
}

func TestKeysListReadsEveryPage(t *testing.T) {
	const many = pageSize + 3
	config := testConfig(t)
	a := beside(t, config)
	var ids []string
	for range many {
		record, _, err := a.keyring.Create(t.Context(), cliActor(), keys.Request{Client: "acme", Scopes: []string{"accounts:read"}})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, record.ID)
	}
	inEmptyFolder(t)
	t.Setenv("DATABASE_URL", config.DatabaseURL.Reveal())
	var list []handlers.ListedKey
	decodeJSON(t, &list, "keys", "list")
	if len(list) != many || !slices.EqualFunc(list, ids, func(k handlers.ListedKey, id string) bool { return k.ID == id }) {
		t.Errorf("%d keys, want %d, oldest first", len(list), many)
	}
	for limit, want := range map[string]int{"": many, "--limit=1": 1, "--limit=200": 200, "--limit=201": 201, "--limit=9999": many} {
		args := []string{"keys", "audit"}
		if limit != "" {
			args = append(args, limit)
		}
		var events []handlers.Event
		decodeJSON(t, &events, args...)
		if len(events) != want || !slices.EqualFunc(events, ids[:want], func(e handlers.Event, id string) bool { return e.Target == id }) {
			t.Errorf("audit %s: %d rows, want %d, oldest first", limit, len(events), want)
		}
		_, table, stderr := run(t, args...)
		if strings.Count(table, "\n") != want+1 || strings.Contains(stderr, "more rows") != (want < many) {
			t.Errorf("audit %s: %d lines, and it says %q", limit, strings.Count(table, "\n"), stderr)
		}
	}
}

func TestKeysTables(t *testing.T) {
	inEmptyFolder(t)
	if code, _, stderr := run(t, "migrate"); code != 0 {
		t.Fatal(stderr)
	}
	for _, list := range []string{"list", "audit"} {
		if code, stdout, stderr := run(t, "keys", list); code != 0 || stdout != "" || !strings.Contains(stderr, "There are no such") {
			t.Errorf("an empty %s: %d %q %q", list, code, stdout, stderr)
		}
	}
	old, _ := makeKey(t, "keys", "create", "--client=acme", "--scope=accounts:read", "--rate=1.5", "--burst=9")
	next, _ := makeKey(t, "keys", "rotate", old.ID())
	contains := func(text string, parts ...string) {
		t.Helper()
		for _, part := range parts {
			if !strings.Contains(text, part) {
				t.Errorf("it lacks %q:\n%s", part, text)
			}
		}
	}
	_, table, _ := run(t, "keys", "list")
	contains(table, "CLIENT", old.ID(), next.ID(), "acme", "1.5/s, burst 9", "expires soon, rotated to "+next.ID())
	_, shown, _ := run(t, "keys", "show", old.ID())
	contains(shown, old.ID(), "acme", "accounts:read", "1.5/s, burst 9", "enabled", next.ID(), old.Hint())
	_, said, stderr := run(t, "keys", "disable", old.ID())
	contains(stderr, old.ID()+" is disabled")
	_, audit, _ := run(t, "keys", "audit")
	contains(audit, "ACTOR", "cli", "create", "rotate", "disable", old.ID())
	if said != "" {
		t.Errorf("disable printed %q", said)
	}
	// No output has more of a secret than the hint.
	for _, verb := range [][]string{{"list"}, {"show", old.ID()}, {"show", next.ID()}, {"audit"}, {"enable", old.ID()}, {"revoke", old.ID(), "--wait"}} {
		for _, form := range []string{"", "--json"} {
			_, stdout, stderr := run(t, slices.DeleteFunc(append([]string{"keys"}, append(verb, form)...), func(s string) bool { return s == "" })...)
			for _, key := range []keystring.Key{old, next} {
				if strings.Contains(stdout+stderr, key.Reveal()[21:64]) || strings.Contains(stdout+stderr, key.Reveal()[:24]) {
					t.Errorf("keys %v %s shows a secret", verb, form)
				}
			}
		}
	}
}

func TestKeysRevokeNamesLateInstances(t *testing.T) {
	config := testConfig(t)
	a := beside(t, config)
	// An instance that is alive for the next seconds, but does not follow the changes of keys.
	if _, err := a.store.Heartbeat(t.Context(), "sleeper", 0, time.Minute); err != nil {
		t.Fatal(err)
	}
	inEmptyFolder(t)
	t.Setenv("DATABASE_URL", config.DatabaseURL.Reveal())
	key, _ := makeKey(t, "keys", "create", "--client=acme", "--scope=accounts:read")
	code, stdout, stderr := run(t, "keys", "revoke", key.ID(), "--wait", "--json")
	var view handlers.ConfirmedKey
	if err := json.Unmarshal([]byte(stdout), &view); err != nil {
		t.Fatalf("%q: %v", stdout, err)
	}
	if code != 1 || !slices.Equal(view.Late, []string{"sleeper"}) || view.Key.State != "revoked" || stderr != "latchkey: sleeper has not seen it yet\n" {
		t.Errorf("%d %+v, says %q", code, view, stderr)
	}
}

// brokenPipe is a standard output that cannot be written.
type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

func TestKeysCreateNamesAKeyThatCannotBePrinted(t *testing.T) {
	inEmptyFolder(t)
	var stderr bytes.Buffer
	code := Main(context.Background(), []string{"latchkey", "keys", "create", "--client=acme", "--scope=accounts:read"}, brokenPipe{}, &stderr)
	var list []handlers.ListedKey
	decodeJSON(t, &list, "keys", "list")
	if code != 1 || len(list) != 1 || !strings.Contains(stderr.String(), "key "+list[0].ID+" was made") || !strings.Contains(stderr.String(), "broken pipe") {
		t.Errorf("%d, %d keys, says %s", code, len(list), stderr.String())
	}
}

func TestKeysOfAnotherEnvironment(t *testing.T) {
	inEmptyFolder(t)
	key, _ := makeKey(t, "keys", "create", "--client=acme", "--scope=accounts:read", "--app-env=production", "--database-url=sqlite:live.db")
	if key.Environment() != keystring.Live {
		t.Errorf("a key of production: %s", key.Environment())
	}
	if _, err := client.Mint(key.Reveal(), client.Options{}); err != nil {
		t.Error(err)
	}
	for _, verb := range [][]string{
		{"create", "--client=acme", "--scope=accounts:read"},
		{"list"},
		{"show", key.ID()},
		{"rotate", key.ID()},
		{"disable", key.ID()},
		{"enable", key.ID()},
		{"revoke", key.ID()},
		{"audit"},
		{"rewrap"},
	} {
		code, stdout, stderr := run(t, append(append([]string{"keys"}, verb...), "--database-url=sqlite:live.db")...)
		if code != 1 || stdout != "" || !strings.Contains(stderr, "made for production, and this process runs for development: set APP_ENV=production, or give this process a DATABASE_URL of its own") || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%v in development: %d %q %s", verb, code, stdout, stderr)
		}
	}
	var events []handlers.Event
	decodeJSON(t, &events, "keys", "audit", "--app-env=production", "--database-url=sqlite:live.db")
	if len(events) != 1 {
		t.Errorf("%d changes, want the one that made the key", len(events))
	}
}
