package middleware

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"github.com/latchkey-api/latchkey/handlers"
	"github.com/latchkey-api/latchkey/keys"
	"github.com/latchkey-api/latchkey/keys/keystring"
	"github.com/latchkey-api/latchkey/store"
	"github.com/latchkey-api/latchkey/token"
)

// registry is a service whose callers have registered keys.
type registry struct {
	*fiber.App

	guard *Guard
	ring  *keys.Keyring
	now   time.Time // of the policy
}

// registered is a service with two guarded routes, /whoami for any key and /admin for those that administrate.
func registered(t *testing.T, log io.Writer, cacheSize int) *registry {
	t.Helper()
	s, err := store.Open(t.Context(), store.Options{
		URL: "sqlite:" + filepath.ToSlash(filepath.Join(t.TempDir(), "latchkey.db")), Environment: "development",
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	r := &registry{now: time.Now()}
	r.ring = keys.NewKeyring(keys.Options{
		Store: s, Environment: keystring.Test, Instance: "this", Logger: slog.New(slog.DiscardHandler),
	})
	if err := r.ring.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.guard = NewGuard(r.ring, token.NewPolicy(token.Rules{
		Audience: "latchkey-api", RequireAudience: true, Leeway: 30 * time.Second, MaxLifetime: time.Hour,
		Now: func() time.Time { return r.now },
	}), cacheSize)
	t.Cleanup(r.guard.Close)
	r.App = service(t, log, nil)
	for path, scope := range map[string]keys.Scope{"/whoami": "", "/admin": keys.KeysAdmin} {
		chain := append([]fiber.Handler{Route(path, true)}, r.guard.Protect(scope)...)
		r.Get(path, append(chain, handlers.WhoAmI)...)
	}
	return r
}

// request is the status of a request that costs the test little memory of its own.
func (r *registry) request(handler fasthttp.RequestHandler, path, token string) int {
	var request fasthttp.RequestCtx
	request.Request.SetRequestURI(path)
	request.Request.Header.Set("Authorization", token)
	handler(&request)
	return request.Response.StatusCode()
}

func (r *registry) key(t *testing.T, change ...func(*keys.Request)) keystring.Key {
	t.Helper()
	in := keys.Request{Client: "acme", Scopes: []string{"accounts:read", "storyspaces:read"}}
	for _, each := range change {
		each(&in)
	}
	_, text, err := r.ring.Create(t.Context(), keys.Actor{Key: "cli"}, in)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// tokenOf is a token of a key, with these claims in the place of the usual ones; nil leaves one out.
func (r *registry) tokenOf(t *testing.T, key keystring.Key, changed map[string]any) string {
	t.Helper()
	private, ok := key.PrivateKey()
	if !ok {
		t.Fatal("not a key of this kind")
	}
	said := map[string]any{
		"apiKey": key.ID(), "aud": "latchkey-api", "iat": r.now.Unix() - 1, "exp": r.now.Add(10 * time.Minute).Unix(),
	}
	for name, value := range changed {
		if said[name] = value; value == nil {
			delete(said, name)
		}
	}
	part := func(v any) string {
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(text)
	}
	signed := part(map[string]string{"alg": "EdDSA", "kid": key.ID()}) + "." + part(said)
	return signed + "." + base64.RawURLEncoding.EncodeToString(ed25519.Sign(private, []byte(signed)))
}

// manyAudiences fill a token up to what it may be long.
func manyAudiences(i int) map[string]any {
	audiences := []string{"latchkey-api"}
	for range 500 {
		audiences = append(audiences, "a")
	}
	return map[string]any{"aud": audiences, "jti": fmt.Sprintf("%06d", i)}
}

func TestWhatIsRememberedHasOneSize(t *testing.T) {
	// Nothing but the key is behind a pointer, and that is there once for all its tokens.
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

func TestWhatIsRefusedIsNotRemembered(t *testing.T) {
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

func TestARememberedTokenIsAnsweredTheSame(t *testing.T) {
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

// TestTheKeyIsOnEveryLineOnceItIsProven: who still has a key that leaked is found by its id in the log.
func TestTheKeyIsOnEveryLineOnceItIsProven(t *testing.T) {
	for _, size := range []int{0, 100} {
		var log strings.Builder
		r := registered(t, &log, size)
		rate, burst := 0.001, 1
		limited := r.key(t, func(in *keys.Request) { in.Rate, in.Burst = &rate, &burst })
		good, ended, used := r.key(t), r.key(t), r.key(t)
		used200 := r.tokenOf(t, used, nil)
		stillGood := r.tokenOf(t, good, map[string]any{"jti": "x"})
		change := func(key keystring.Key, state keys.State) func() {
			return func() {
				if _, err := r.ring.SetState(t.Context(), keys.Actor{Key: "cli"}, key.ID(), state); err != nil {
					t.Fatal(err)
				}
			}
		}
		later := func() { r.now = r.now.Add(time.Hour) }
		damaged := r.tokenOf(t, good, nil)
		damaged = damaged[:len(damaged)-8] + "AAAAAAAA"
		for _, try := range []struct {
			name, path, token string
			before            func()
			status            int
			key               string
		}{
			{"accepted", "/whoami", stillGood, nil, 200, good.ID()},
			{"remembered", "/whoami", stillGood, nil, 200, good.ID()},
			{"accepted under the limit", "/whoami", r.tokenOf(t, limited, nil), nil, 200, limited.ID()},
			{"over the limit", "/whoami", r.tokenOf(t, limited, nil), nil, 429, limited.ID()},
			{"insufficient scope", "/admin", r.tokenOf(t, good, nil), nil, 403, good.ID()},
			{"invalid audience", "/whoami", r.tokenOf(t, good, map[string]any{"aud": "x"}), nil, 401, good.ID()},
			{"lifetime too long", "/whoami", r.tokenOf(t, good, map[string]any{"exp": r.now.Add(2 * time.Hour).Unix()}), nil, 401, good.ID()},
			{"not yet valid", "/whoami", r.tokenOf(t, good, map[string]any{"nbf": r.now.Add(time.Hour).Unix()}), nil, 401, good.ID()},
			{"required claim missing", "/whoami", r.tokenOf(t, good, map[string]any{"exp": nil}), nil, 401, good.ID()},
			{"missing API token", "/whoami", r.tokenOf(t, good, map[string]any{"apiKey": nil}), nil, 401, good.ID()},
			{"incorrect API token", "/whoami", r.tokenOf(t, good, map[string]any{"apiKey": "other"}), nil, 401, good.ID()},
			{"revoked", "/whoami", r.tokenOf(t, ended, nil), change(ended, keys.Revoked), 401, ended.ID()},
			{"at first", "/whoami", used200, nil, 200, used.ID()},
			{"remembered, then disabled", "/whoami", used200, change(used, keys.Disabled), 401, used.ID()},
			{"signature verification failed", "/whoami", damaged, nil, 401, ""},
			{"malformed token", "/whoami", "x.y.z", nil, 401, ""},
			{"header missing", "/whoami", "", nil, 401, ""},
			{"remembered, then expired", "/whoami", stillGood, later, 401, good.ID()},
		} {
			if try.before != nil {
				try.before()
			}
			log.Reset()
			answer, _ := send(t, r.App, "GET", try.path, "Authorization", try.token)
			var line struct {
				Key *string `json:"key"`
			}
			if err := json.Unmarshal([]byte(log.String()), &line); err != nil || answer.StatusCode != try.status {
				t.Errorf("cache of %d, %s: %d %s", size, try.name, answer.StatusCode, log.String())
				continue
			}
			if want := try.key; (line.Key == nil) != (want == "") || line.Key != nil && *line.Key != want {
				t.Errorf("cache of %d, %s: want the key %q on %s", size, try.name, want, log.String())
			}
		}
	}
}

func TestAFailureNamesTheKey(t *testing.T) {
	var log bytes.Buffer
	r := registered(t, &log, 100)
	r.Get("/broken", append(r.guard.Protect(""), func(*fiber.Ctx) error { return errors.New("broken") })...)
	key := r.key(t)
	send(t, r.App, "GET", "/broken", "Authorization", r.tokenOf(t, key, nil))
	for _, msg := range []string{"request failed", "request"} {
		if got := lines(t, &log, msg); len(got) != 1 || got[0]["key"] != key.ID() {
			t.Errorf("%s: %v", msg, got)
		}
	}
}
