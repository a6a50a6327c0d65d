package middleware

import (
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/latchkey-api/latchkey/keys"
)

func TestTokenCacheHitChecksTheClock(t *testing.T) {
	for _, size := range []int{0, 100} {
		begin := time.Now()
		now := begin
		app, guard := guarded(t, size, &now)
		raw := sharedToken(t, begin, nil)
		steps := []struct {
			name   string
			clock  time.Duration
			status int
			body   string
		}{
			{"at first", 0, 200, "passed"},
			{"again", time.Second, 200, "passed"},
			{"the clock set back", -time.Hour, 401, `{"detail":"Error decoding token: token is not yet valid"}`},
			{"and forward", time.Minute, 200, "passed"},
			{"within the leeway", 10*time.Minute + 29*time.Second, 200, "passed"},
			{"past it", 10*time.Minute + 31*time.Second, 401, `{"detail":"Error decoding token: signature has expired"}`},
		}
		for _, step := range steps {
			now = begin.Add(step.clock)
			if answer, body := send(t, app, "GET", "/guarded", "Authorization", raw); answer.StatusCode != step.status || body != step.body {
				t.Errorf("cache of %d, %s: %d %s", size, step.name, answer.StatusCode, body)
			}
		}
		if size > 0 && guard.cache.tokens.EstimatedSize() != 1 {
			t.Errorf("%d tokens are remembered", guard.cache.tokens.EstimatedSize())
		}
	}
}

func TestTokenCacheKeepsOnlyAcceptedTokens(t *testing.T) {
	now := time.Now()
	app, guard := guarded(t, 100, &now)
	raw := sharedToken(t, now, nil)
	none := ""
	refused := []string{
		"", "x", raw[:len(raw)-4] + "AAAA", raw + "A", "Bearer " + raw[:20], sharedToken(t, now.Add(-time.Hour), nil),
		sharedToken(t, now.Add(time.Hour), nil), strings.Repeat("a", 4000),
	}
	for _, header := range refused {
		if answer, _ := send(t, app, "GET", "/guarded", "Authorization", header); answer.StatusCode != http.StatusUnauthorized {
			t.Errorf("%.20q: %d", header, answer.StatusCode)
		}
	}
	if n := guard.cache.tokens.EstimatedSize(); n != 0 {
		t.Errorf("%d refused tokens are remembered", n)
	}
	// The scheme is no part of the token, and the scope is looked at each time.
	narrow := sharedToken(t, now, &none)
	for _, header := range []string{raw, "Bearer " + raw, "bearer   " + raw} {
		if answer, _ := send(t, app, "GET", "/guarded", "Authorization", header); answer.StatusCode != http.StatusOK {
			t.Errorf("%.20q: %d", header, answer.StatusCode)
		}
	}
	for range 2 {
		if answer, _ := send(t, app, "GET", "/guarded", "Authorization", narrow); answer.StatusCode != http.StatusForbidden {
			t.Errorf("a token without scopes: %d", answer.StatusCode)
		}
	}
	if n := guard.cache.tokens.EstimatedSize(); n != 1 {
		t.Errorf("%d tokens are remembered, want the one that was let through", n)
	}
}

func TestTokenCacheEntriesHaveOneSize(t *testing.T) {
	// Only the key is behind a pointer: all its tokens share it.
	pointers := []reflect.Type{reflect.TypeFor[*keys.Key](), reflect.TypeFor[*time.Location]()}
	var sized func(at string, of reflect.Type)
	sized = func(at string, of reflect.Type) {
		switch kind := of.Kind(); {
		case kind == reflect.Struct:
			for field := range of.Fields() {
				sized(at+"."+field.Name, field.Type)
			}
		case kind == reflect.Array:
			sized(at+"[]", of.Elem())
		case kind > reflect.Array && !slices.Contains(pointers, of):
			t.Errorf("%s is a %v, of a size that a caller may choose", at, of)
		}
	}
	sized("verified", reflect.TypeFor[verified]())

	const tokens, most = 2000, 400
	r := registered(t, io.Discard, tokens)
	key := r.key(t)
	handler := r.Handler()
	held := func() uint64 {
		var m runtime.MemStats
		for range 2 { // the second ends what the first began
			runtime.GC()
		}
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	use := func(i int) {
		if status := r.request(handler, "/whoami", r.tokenOf(t, key, manyAudiences(i))); status != http.StatusOK {
			t.Fatalf("%d", status)
		}
	}
	use(-1)
	before := held()
	for i := range tokens {
		use(i)
	}
	r.guard.cache.tokens.CleanUp()
	if each := (int64(held()) - int64(before)) / tokens; each > most {
		t.Errorf("a remembered token takes %d bytes, at most %d are allowed", each, most)
	}
	if n := r.guard.cache.tokens.EstimatedSize(); n < tokens*9/10 {
		t.Errorf("only %d tokens are remembered", n)
	}
	runtime.KeepAlive(r)
}

func TestTokenCacheKeepsNoRefusedToken(t *testing.T) {
	r := registered(t, io.Discard, 100)
	rate, burst := 0.001, 1
	limited := r.key(t, func(in *keys.Request) { in.Rate, in.Burst = &rate, &burst })
	ended := r.key(t)
	if _, err := r.ring.SetState(t.Context(), keys.Actor{Key: "cli"}, ended.ID(), keys.Revoked); err != nil {
		t.Fatal(err)
	}
	remembered := 0
	for i, try := range []struct {
		name, path, token string
		status            int
		kept              bool
	}{
		{"accepted", "/whoami", r.tokenOf(t, limited, map[string]any{"jti": "1"}), 200, true},
		{"over the limit", "/whoami", r.tokenOf(t, limited, map[string]any{"jti": "2"}), 429, false},
		{"without the scope", "/admin", r.tokenOf(t, r.key(t), nil), 403, false},
		{"of a revoked key", "/whoami", r.tokenOf(t, ended, nil), 401, false},
		{"with another key's claim", "/whoami", r.tokenOf(t, r.key(t), map[string]any{"apiKey": ended.ID()}), 401, false},
		{"without the claim", "/whoami", r.tokenOf(t, r.key(t), map[string]any{"apiKey": nil}), 401, false},
		{"for another audience", "/whoami", r.tokenOf(t, r.key(t), map[string]any{"aud": "other"}), 401, false},
		{"remembered, over the limit", "/whoami", r.tokenOf(t, limited, map[string]any{"jti": "1"}), 429, false},
	} {
		if try.kept {
			remembered++
		}
		answer, _ := send(t, r.App, "GET", try.path, "Authorization", try.token)
		if got := r.guard.cache.tokens.EstimatedSize(); answer.StatusCode != try.status || got != remembered {
			t.Errorf("%d, %s: %d, %d tokens are remembered, want %d", i, try.name, answer.StatusCode, got, remembered)
		}
	}
}

func TestTokenCacheHitIsAnsweredTheSame(t *testing.T) {
	for _, size := range []int{0, 100} {
		r := registered(t, io.Discard, size)
		key := r.key(t)
		for scope, names := range map[any]string{
			nil: `"accounts:read","storyspaces:read"`, "accounts:read keys:admin what": `"accounts:read"`, "": "",
		} {
			raw := r.tokenOf(t, key, map[string]any{"scope": scope, "exp": r.now.Unix() + 60})
			want := fmt.Sprintf(`{"key":%q,"client":"acme","scopes":[%s],"expires_at":%q}`,
				key.ID(), names, time.Unix(r.now.Unix()+60, 0).UTC().Format(time.RFC3339))
			for try := range 3 {
				if answer, body := send(t, r.App, "GET", "/whoami", "Authorization", raw); answer.StatusCode != 200 || body != want {
					t.Errorf("cache of %d, scope %v, try %d: %d %s, want %s", size, scope, try, answer.StatusCode, body, want)
				}
			}
		}
	}
}

// TestTokenCacheHitOnAStaleKeyIsAMiss: the signature is verified again when the key has changed, with the key as it is now.
func TestTokenCacheHitOnAStaleKeyIsAMiss(t *testing.T) {
	r := registered(t, io.Discard, 100)
	key := r.key(t)
	raw := r.tokenOf(t, key, nil)
	use := func() *verified {
		if answer, body := send(t, r.App, "GET", "/whoami", "Authorization", raw); answer.StatusCode != http.StatusOK {
			t.Fatalf("%d %s", answer.StatusCode, body)
		}
		found, _ := r.guard.cache.tokens.GetIfPresent(sha256.Sum256([]byte(raw)))
		return found
	}
	first := use()
	if first == nil || use() != first {
		t.Fatal("an unchanged key is no hit")
	}
	for _, state := range []keys.State{keys.Disabled, keys.Enabled} {
		if _, err := r.ring.SetState(t.Context(), keys.Actor{Key: "cli"}, key.ID(), state); err != nil {
			t.Fatal(err)
		}
	}
	if second := use(); second == first || second.key.Stale() {
		t.Error("a token is not verified again though its key has changed")
	}
}
