package cli

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/latchkey-api/latchkey/configs"
	"github.com/latchkey-api/latchkey/fault"
	"github.com/latchkey-api/latchkey/handlers"
	"github.com/latchkey-api/latchkey/keys"
	"github.com/latchkey-api/latchkey/keys/keystring"
)

func TestKeysCreateRefuses(t *testing.T) {
	const rate = "latchkey: --rate: must be from 0.001 to 1000000 requests a second\n"
	every := strings.Join(keys.EveryScope().Names(), ", ")
	unknown := "latchkey: --scope: unknown scope; there are " + every + "\n"
	good := []string{"--client=acme", "--scope=accounts:read"}
	tests := []struct {
		name   string
		args   []string
		code   int
		stderr string // all of it, or how it begins where the exit code is 2
	}{
		{"an unknown scope", append(good, "--scope=nope"), 1, unknown},
		{"two scopes in one", []string{"--client=acme", "--scope=accounts:read,accounts:write"}, 1, unknown},
		{"an empty scope", []string{"--client=acme", "--scope="}, 1, unknown},
		{"no scope", []string{"--client=acme"}, 1, "latchkey: --scope: name at least one of " + every + "\n"},
		{"no client", []string{"--scope=accounts:read"}, 1, "latchkey: --client: field required\n"},
		{"a long client", []string{"--scope=accounts:read", "--client=" + strings.Repeat("x", 65)}, 1, "latchkey: --client: must have at most 64 characters\n"},
		{"a client over two lines", []string{"--scope=accounts:read", "--client=a\nb"}, 1, "latchkey: --client: must be printable, and not blank\n"},
		{"another kind", append(good, "--kind=rs256"), 1, "latchkey: --kind: must be ed25519 or hs256\n"},
		{"rate 0", append(good, "--rate=0"), 1, rate},
		{"rate -1", append(good, "--rate=-1"), 1, rate},
		{"rate 1e9", append(good, "--rate=1e9"), 1, rate},
		{"rate NaN", append(good, "--rate=NaN"), 1, rate},
		{"rate Inf", append(good, "--rate=Inf"), 1, rate},
		{"no number", append(good, "--rate=fast"), 2, "latchkey: --rate: "},
		{"burst without rate", append(good, "--burst=5"), 1, "latchkey: --burst: needs a rate\n"},
		{"burst 0", append(good, "--rate=1", "--burst=0"), 1, "latchkey: --burst: must be from 1 to 1000000\n"},
		{"half a burst", append(good, "--rate=1", "--burst=0.5"), 2, "latchkey: --burst: "},
		{"expired", append(good, "--expires=-5m"), 1, "latchkey: --expires: must be in the future\n"},
		{"expired at once", append(good, "--expires=0s"), 1, "latchkey: --expires: must be in the future\n"},
		{"no duration", append(good, "--expires=soon"), 2, "latchkey: --expires: "},
		{"hs256 without MASTER_KEY", append(good, "--kind=hs256"), 1, "latchkey: --kind: hs256 keys need MASTER_KEY, which is not set\n"},
		{
			"everything at once",
			[]string{"--scope=nope", "--kind=x", "--rate=0"},
			1,
			"latchkey: --client: field required\n" + unknown + "latchkey: --kind: must be ed25519 or hs256\n" + rate,
		},
	}
	inEmptyFolder(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			code, stdout, stderr := run(t, append([]string{"keys", "create"}, tt.args...)...)
			if code != tt.code || stdout != "" || !strings.HasPrefix(stderr, tt.stderr) || code == 1 && stderr != tt.stderr {
				t.Errorf("%d %q, says\n%s", code, stdout, stderr)
			}
		})
	}
	var list []handlers.ListedKey
	if decodeJSON(t, &list, "keys", "list"); len(list) != 0 {
		t.Errorf("%d keys were made", len(list))
	}
}

func TestKeysRefuse(t *testing.T) {
	config := testConfig(t)
	a := beside(t, config)
	expired, err := a.store.CreateKey(t.Context(), keys.Record{
		ID: "E0000000expd", Client: "acme", Kind: keystring.Ed25519, Environment: keystring.Test, State: keys.Enabled,
		Material: []byte("a public key"), CreatedAt: time.Now().Add(-2 * time.Hour), ExpiresAt: time.Now().Add(-time.Hour),
	}, keys.Event{At: time.Now(), Actor: cliActor(), Action: keys.ActionCreate, Target: "E0000000expd", Count: 1})
	if err != nil {
		t.Fatal(err)
	}
	inEmptyFolder(t)
	t.Setenv("DATABASE_URL", config.DatabaseURL.Reveal())
	revoked, _ := makeKey(t, "keys", "create", "--client=acme", "--scope=accounts:read")
	if code, _, stderr := run(t, "keys", "revoke", revoked.ID()); code != 0 {
		t.Fatal(stderr)
	}
	fine, _ := makeKey(t, "keys", "create", "--client=acme", "--scope=accounts:read")
	final := "key " + revoked.ID() + " is revoked, which is final"
	const whole = "an id is expected here, not a whole key"
	tests := []struct {
		args   []string
		code   int
		stderr string // part of what it says
	}{
		{[]string{"show", "E00000000000"}, 1, "there is no key E00000000000"},
		{[]string{"rotate", "E00000000000"}, 1, "there is no key E00000000000"},
		{[]string{"rotate", "H00000000000"}, 1, "there is no key H00000000000"},
		{[]string{"disable", "E00000000000"}, 1, "there is no key E00000000000"},
		{[]string{"enable", "E00000000000"}, 1, "there is no key E00000000000"},
		{[]string{"revoke", "E00000000000"}, 1, "there is no key E00000000000"},
		{[]string{"revoke", "E00000000000", "--wait"}, 1, "there is no key E00000000000"},
		{[]string{"show", "shared"}, 1, "there is no such key"},
		{[]string{"show", ""}, 1, "there is no such key"},
		{[]string{"revoke", "' OR 1=1 --"}, 1, "there is no such key"},
		{[]string{"enable", revoked.ID()}, 1, final},
		{[]string{"disable", revoked.ID()}, 1, final},
		{[]string{"rotate", revoked.ID()}, 1, final},
		{[]string{"rotate", expired.ID}, 1, "key " + expired.ID + " expired at "},
		{[]string{"rotate", fine.ID(), "--grace=720h0m1s"}, 1, "--grace: must be from 0s to 720h"},
		{[]string{"rotate", fine.ID(), "--grace=-1s"}, 1, "--grace: must be from 0s to 720h"},
		{[]string{"rotate", fine.ID(), "--grace=never"}, 2, "--grace"},
		{[]string{"show", fine.Reveal()}, 1, whole},
		{[]string{"rotate", fine.Reveal()}, 1, whole},
		{[]string{"disable", fine.Reveal()}, 1, whole},
		{[]string{"enable", fine.Reveal()}, 1, whole},
		{[]string{"revoke", fine.Reveal()}, 1, "history"},
		{[]string{"revoke", mistyped(fine), "--wait"}, 1, whole},
		{[]string{"audit", "--key=" + fine.Reveal()}, 1, whole},
		{[]string{"show", fine.Reveal()[21:]}, 1, "there is no such key"},
		{[]string{"show", fine.ID(), fine.Reveal()}, 2, "unexpected argument [a key]"},
		{[]string{"list", mistyped(fine)}, 2, "unexpected argument [a key]"},
		{[]string{"list", "--state=gone"}, 1, "--state must be enabled, disabled or revoked"},
		{[]string{"audit", "--limit=0"}, 1, "--limit must be 1 or more"},
		{[]string{"audit", "--limit=-1"}, 1, "--limit must be 1 or more"},
		{[]string{"audit", "--since=yesterday"}, 1, "--since must be a time such as"},
		{[]string{"audit", "--since=-1h"}, 1, "--since must be a time such as"},
		{[]string{}, 2, "expected one of"},
		{[]string{"show"}, 2, `expected "<id>"`},
	}
	var before, after []handlers.Event
	decodeJSON(t, &before, "keys", "audit")
	for _, tt := range tests {
		for _, form := range [][]string{nil, {"--json"}} {
			code, stdout, stderr := run(t, slices.Concat([]string{"keys"}, tt.args, form)...)
			if code != tt.code || stdout != "" || !strings.Contains(stderr, tt.stderr) {
				t.Errorf("%v: %d %q, says %s", tt.args, code, stdout, stderr)
			}
			if strings.Contains(stderr, fine.Reveal()[21:64]) {
				t.Errorf("%v repeats a secret: %s", tt.args, stderr)
			}
		}
	}
	if decodeJSON(t, &after, "keys", "audit"); len(after) != len(before) {
		t.Errorf("%d changes were made", len(after)-len(before))
	}
	if code, _, stderr := run(t, "keys", "revoke", revoked.ID()); code != 0 {
		t.Errorf("revoked twice: %d %s", code, stderr)
	}
}

func TestKeysNeedMasterKeyForHS256Only(t *testing.T) {
	inEmptyFolder(t)
	first, second, third := configs.FreshSecrets().MasterKey.Reveal(), configs.FreshSecrets().MasterKey.Reveal(), configs.FreshSecrets().MasterKey.Reveal()
	fails := func(part string, args ...string) {
		t.Helper()
		code, stdout, stderr := run(t, args...)
		if code != 1 || stdout != "" || !strings.Contains(stderr, part) {
			t.Errorf("%v: %d %q, says %s", args, code, stdout, stderr)
		}
	}
	create := []string{"keys", "create", "--client=acme", "--scope=accounts:read"}
	t.Setenv("MASTER_KEY", first)
	key, _ := makeKey(t, append(create, "--kind=hs256")...)

	// With no master key, or an invalid one, only commands that need it fail.
	for master, sentence := range map[string]string{"": "hs256 keys need MASTER_KEY, which is not set", "c2hvcnQ=": "MASTER_KEY must be"} {
		t.Setenv("MASTER_KEY", master)
		fails(sentence, append(create, "--kind=hs256")...)
		fails("latchkey: "+sentence, "keys", "rotate", key.ID())
		fails(sentence, "keys", "rewrap")
		other, _ := makeKey(t, create...)
		makeKey(t, "keys", "rotate", other.ID())
		for _, verb := range []string{"show", "disable", "enable"} {
			if code, _, stderr := run(t, "keys", verb, key.ID()); code != 0 {
				t.Errorf("%s with MASTER_KEY %q: %s", verb, master, stderr)
			}
		}
	}

	rewrapped := func(want int) {
		t.Helper()
		var done struct{ Rewrapped int }
		if decodeJSON(t, &done, "keys", "rewrap"); done.Rewrapped != want {
			t.Errorf("%d keys were sealed anew, want %d", done.Rewrapped, want)
		}
	}
	t.Setenv("MASTER_KEY", second)
	fails("MASTER_KEY does not open this hs256 key", "keys", "rewrap")
	t.Setenv("MASTER_KEY_PREVIOUS", first)
	rewrapped(1)
	t.Setenv("MASTER_KEY_PREVIOUS", "")
	rewrapped(1) // the old master key is not needed any more
	makeKey(t, append(create, "--kind=hs256")...)
	if code, stdout, stderr := run(t, "keys", "rewrap"); code != 0 || stdout != "" || !strings.Contains(stderr, ": 2\n") {
		t.Errorf("%d %q %s", code, stdout, stderr)
	}
	t.Setenv("MASTER_KEY", third)
	t.Setenv("MASTER_KEY_PREVIOUS", first)
	fails("MASTER_KEY does not open this hs256 key", "keys", "rewrap")

	t.Setenv("MASTER_KEY", "cmVwbGFjZS1tZS13aXRoLTMyLXJhbmRvbS1ieXRlcyE=")
	live := []string{"--app-env=production", "--database-url=sqlite:live.db"}
	fails("MASTER_KEY is a placeholder of .env.template", slices.Concat(create, live, []string{"--kind=hs256"})...)
	makeKey(t, slices.Concat(create, live)...)
}

func TestSentence(t *testing.T) {
	cause := errors.New("database is locked")
	for _, tt := range []struct {
		err  error
		id   string
		want string
	}{
		{fault.Wrap(fault.Unavailable, cause), "", "the store cannot be used: database is locked"},
		{fmt.Errorf("more: %w", fault.Wrap(fault.Unavailable, cause)), "", "the store cannot be used: database is locked"},
		{fault.New(fault.NotFound), "E1", "there is no key E1"},
		{fault.Wrap(fault.Internal, cause), "E1", "database is locked"},
		{cause, "", "database is locked"},
		{
			&keys.InvalidError{Problems: []keys.Problem{{Field: "expires_at", Message: "a"}, {Field: "scopes", Message: "b"}}}, "",
			"--expires: a\n--scope: b",
		},
		{&keys.InvalidError{Problems: []keys.Problem{{Field: "kind", Message: "hs256 keys need"}}}, "H1", "hs256 keys need"},
	} {
		if got := sentence(tt.err, tt.id); got.Error() != tt.want {
			t.Errorf("%v: %q, want %q", tt.err, got, tt.want)
		}
	}
}
