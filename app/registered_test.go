package app

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/latchkey-api/latchkey/client"
	"github.com/latchkey-api/latchkey/configs"
	"github.com/latchkey-api/latchkey/handlers"
	"github.com/latchkey-api/latchkey/keys"
	"github.com/latchkey-api/latchkey/keys/keystring"
	"github.com/latchkey-api/latchkey/token"
)

// served is a running App with an administrator's key.
type served struct {
	*App

	url   string
	admin string // key string
}

func serve(t *testing.T, log io.Writer, cache int) *served {
	t.Helper()
	config := testConfig(t)
	config.TokenCacheSize = cache
	a := newApp(t, config, log)
	address, stop, done := running(t, a)
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	_, text, err := a.keyring.Create(t.Context(), keys.Actor{Key: "cli"}, keys.Request{
		Client: "operations", Scopes: []string{"keys:admin"},
	})
	if err != nil {
		t.Fatal(err)
	}
	return &served{App: a, url: "http://" + address, admin: text.Reveal()}
}

// mintFor makes a token for a key string.
func mintFor(t *testing.T, key string, scopes ...string) string {
	t.Helper()
	text, err := client.Mint(key, client.Options{Scopes: scopes})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// sharedToken makes a token for the shared key.
func sharedToken(c configs.Config) (string, error) {
	signing, err := token.HMAC(c.JWTAlgorithm, "", []byte(c.JWTSecretKey.Reveal()))
	if err != nil {
		return "", err
	}
	return token.Mint(signing, token.Grant{APIKey: c.APIKey.Reveal(), Audience: c.JWTAudience, Now: time.Now(), TTL: c.JWTTTL})
}

// call sends a request with a token and decodes the answer into out, if it is not nil.
func (s *served) call(t *testing.T, token, method, path, body string, out any) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, s.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", token)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body = io.NopCloser(bytes.NewReader(text))
	if out != nil {
		if err := json.Unmarshal(text, out); err != nil {
			t.Fatalf("%s %s: %d %s: %v", method, path, answer.StatusCode, text, err)
		}
	}
	return answer
}

// issue makes a key by HTTP.
func (s *served) issue(t *testing.T, body string) handlers.NewKey {
	t.Helper()
	var made handlers.NewKey
	if answer := s.call(t, mintFor(t, s.admin), "POST", "/service/keys", body, &made); answer.StatusCode != http.StatusCreated {
		t.Fatalf("%d", answer.StatusCode)
	}
	return made
}

// change disables, enables or revokes a key by HTTP.
func (s *served) change(t *testing.T, id, verb string) {
	t.Helper()
	if answer := s.call(t, mintFor(t, s.admin), "POST", "/service/keys/"+id+"/"+verb, "", nil); answer.StatusCode != http.StatusOK {
		t.Fatalf("%s: %d", verb, answer.StatusCode)
	}
}

func detailOf(t *testing.T, answer *http.Response) string {
	t.Helper()
	var body struct{ Detail string }
	if err := json.NewDecoder(answer.Body).Decode(&body); err != nil {
		t.Fatal(err)
	}
	return body.Detail
}

const (
	reader      = `{"client":"acme","scopes":["accounts:read"]}`
	readerHS256 = `{"client":"acme","scopes":["accounts:read"],"kind":"hs256"}`
	account     = "/service/account/stevenm"
)

func TestRevocationAgainstAWarmCache(t *testing.T) {
	for _, cache := range []int{0, 1000} {
		for _, kind := range []string{reader, readerHS256} {
			t.Run(fmt.Sprintf("cache of %d, %s", cache, kind), func(t *testing.T) {
				s := serve(t, io.Discard, cache)
				made := s.issue(t, kind)
				token := mintFor(t, made.Secret)
				for i := range 1000 {
					if answer := s.call(t, token, "GET", account, "", nil); answer.StatusCode != http.StatusOK {
						t.Fatalf("call %d: %d %s", i, answer.StatusCode, detailOf(t, answer))
					}
				}
				s.change(t, made.Key.ID, "revoke")
				answer := s.call(t, token, "GET", account, "", nil)
				if answer.StatusCode != http.StatusUnauthorized || detailOf(t, answer) != "Incorrect API token" {
					t.Errorf("the very next call: %d", answer.StatusCode)
				}
			})
		}
	}
}

// TestRevocationRacesRequests revokes while other connections fill the cache. After the answer to the revocation,
// every request is refused.
func TestRevocationRacesRequests(t *testing.T) {
	s := serve(t, io.Discard, 1000)
	for round := range 1000 {
		record, text, err := s.keyring.Create(t.Context(), keys.Actor{Key: "cli"}, keys.Request{Client: "acme", Scopes: []string{"accounts:read"}})
		if err != nil {
			t.Fatal(err)
		}
		tokens := []string{mintFor(t, text.Reveal()), mintFor(t, text.Reveal())}
		var revoked atomic.Bool
		var callers sync.WaitGroup
		for _, token := range tokens {
			callers.Go(func() {
				for {
					after := revoked.Load()
					status := s.call(t, token, "GET", account, "", nil).StatusCode
					if after {
						if status != http.StatusUnauthorized {
							t.Errorf("round %d: %d after the revocation", round, status)
						}
						return
					}
				}
			})
		}
		if _, err := s.keyring.SetState(t.Context(), keys.Actor{Key: "cli"}, record.ID, keys.Revoked); err != nil {
			t.Fatal(err)
		}
		revoked.Store(true)
		callers.Wait()
	}
}

func TestScopeAndLimitBindEveryCall(t *testing.T) {
	s := serve(t, io.Discard, 1000)
	made := s.issue(t, `{"client":"acme","scopes":["accounts:read","storyspaces:read"],"rate":0.001,"burst":3}`)
	answer := s.call(t, mintFor(t, made.Secret, "storyspaces:read"), "GET", account, "", nil)
	if answer.StatusCode != http.StatusForbidden || answer.Header.Get("WWW-Authenticate") != `Bearer realm="latchkey", error="insufficient_scope", scope="accounts:read"` {
		t.Errorf("a narrowed token: %d %v", answer.StatusCode, answer.Header)
	}
	answer = s.call(t, mintFor(t, made.Secret, "accounts:write"), "POST", "/service/account/register", `{"username":"x"}`, nil)
	if answer.StatusCode != http.StatusForbidden {
		t.Errorf("a token that claims more than its key may: %d", answer.StatusCode)
	}
	token := mintFor(t, made.Secret)
	for i := range 3 {
		answer := s.call(t, token, "GET", account, "", nil)
		if answer.StatusCode != http.StatusOK || answer.Header.Get("RateLimit") != fmt.Sprintf(`"key";r=%d;t=%d`, 2-i, 1000*(i+1)) {
			t.Errorf("call %d: %d, RateLimit %q", i, answer.StatusCode, answer.Header.Get("RateLimit"))
		}
	}
	answer = s.call(t, token, "GET", account, "", nil)
	if answer.StatusCode != http.StatusTooManyRequests || detailOf(t, answer) != "Too Many Requests" ||
		answer.Header.Get("Retry-After") != "1000" || answer.Header.Get("RateLimit-Policy") != `"key";q=3;w=3000` {
		t.Errorf("one too many: %d %v", answer.StatusCode, answer.Header)
	}
}

func TestAdministrationNeedsItsScope(t *testing.T) {
	var log bytes.Buffer
	s := serve(t, &log, 1000)
	made := s.issue(t, reader)
	shared, err := sharedToken(s.config)
	if err != nil {
		t.Fatal(err)
	}
	for _, token := range []string{mintFor(t, made.Secret), shared, mintFor(t, s.admin, "accounts:read")} {
		for _, route := range []string{"GET /service/keys", "POST /service/keys", "GET /service/audit", "POST /service/keys/" + made.Key.ID + "/revoke"} {
			method, path, _ := strings.Cut(route, " ")
			answer := s.call(t, token, method, path, "", nil)
			if answer.StatusCode != http.StatusForbidden || !strings.Contains(answer.Header.Get("WWW-Authenticate"), `scope="keys:admin"`) {
				t.Errorf("%s: %d", route, answer.StatusCode)
			}
		}
	}
	var key handlers.Key
	if s.call(t, mintFor(t, s.admin), "GET", "/service/keys/"+made.Key.ID, "", &key); key.State != "enabled" {
		t.Errorf("the key is %s", key.State)
	}
}

// TestAdministrationRefusedIsAudited: every refusal of a key makes a row in the audit. A request without a key makes none.
func TestAdministrationRefusedIsAudited(t *testing.T) {
	s := serve(t, io.Discard, 1000)
	made := s.issue(t, reader)
	key, err := keystring.Parse(made.Secret)
	if err != nil {
		t.Fatal(err)
	}
	private, _ := key.PrivateKey()
	signed := func(change func(*token.Grant)) string {
		grant := token.Grant{APIKey: key.ID(), Audience: "latchkey-api", Now: time.Now(), TTL: time.Minute}
		change(&grant)
		raw, err := token.Mint(token.EdDSA(key.ID(), private), grant)
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	good := signed(func(*token.Grant) {})
	anonymous := []string{"", "x", good[:len(good)-4] + "AAAA", strings.Replace(good, ".", ".e30", 1)}
	verified := []string{
		good, // lacks the scope
		signed(func(g *token.Grant) { g.Now = g.Now.Add(-time.Hour) }),
		signed(func(g *token.Grant) { g.Now = g.Now.Add(time.Hour) }),
		signed(func(g *token.Grant) { g.Audience = "other" }),
		signed(func(g *token.Grant) { g.TTL = 2 * time.Hour }),
		signed(func(g *token.Grant) { g.APIKey = "" }),
		signed(func(g *token.Grant) { g.APIKey = "E0123456789a" }),
	}
	for _, raw := range append(anonymous, verified...) {
		if answer := s.call(t, raw, "GET", "/service/audit", "", nil); answer.StatusCode == http.StatusOK {
			t.Errorf("%s was let in", raw)
		}
	}
	// The rows of a second are written at its end.
	rows, end := 0, time.Now().Add(20*time.Second)
	for rows < len(verified) && time.Now().Before(end) {
		var events []handlers.Event
		s.call(t, mintFor(t, s.admin), "GET", "/service/audit", "", &events)
		rows = 0
		for _, event := range events {
			if event.Action == keys.ActionRefused {
				rows += event.Count
				if event.Actor != key.ID() || event.Target != "GET /service/audit" || event.RequestID == "" || event.Address == "" {
					t.Fatalf("row %+v", event)
				}
			}
		}
	}
	if rows != len(verified) {
		t.Errorf("%d refusals in the audit, want %d", rows, len(verified))
	}
}

// TestSecretsAreNotKept searches everything that a thief could take: the database with its log, the log of the
// service, and what administrators see.
func TestSecretsAreNotKept(t *testing.T) {
	var log bytes.Buffer
	config := testConfig(t)
	a := newApp(t, config, &log)
	ctx, stop := context.WithCancel(t.Context())
	urls, done := make(chan string, 1), make(chan error, 1)
	go func() { done <- a.Run(ctx, func(url string) { urls <- url }) }()
	s := &served{App: a, url: <-urls}
	_, text, err := a.keyring.Create(t.Context(), keys.Actor{Key: "cli"}, keys.Request{Client: "operations", Scopes: []string{"keys:admin"}})
	if err != nil {
		t.Fatal(err)
	}
	s.admin = text.Reveal()
	secrets := []string{s.admin}
	var seen strings.Builder
	for _, kind := range []string{reader, readerHS256} {
		made := s.issue(t, kind)
		var rotated handlers.RotatedKey
		s.call(t, mintFor(t, s.admin), "POST", "/service/keys/"+made.Key.ID+"/rotate", `{"grace":"1h"}`, &rotated)
		secrets = append(secrets, made.Secret, rotated.Secret)
		s.call(t, mintFor(t, made.Secret), "GET", account, "", nil)
		s.call(t, mintFor(t, rotated.Secret)+"x", "GET", account, "", nil)
		for _, path := range []string{"/service/keys", "/service/keys/" + made.Key.ID, "/service/audit", "/service/keys/" + made.Secret} {
			body, _ := io.ReadAll(s.call(t, mintFor(t, s.admin), "GET", path, "", nil).Body)
			seen.Write(body)
		}
	}
	if !strings.Contains(seen.String(), `"hint"`) {
		t.Fatal("nothing was seen")
	}
	places := map[string]string{"what administrators see": seen.String()}
	read := func(when string) {
		files, err := filepath.Glob(strings.TrimPrefix(config.DatabaseURL.Reveal(), "sqlite:") + "*")
		if err != nil || len(files) == 0 {
			t.Fatalf("no files: %v", err)
		}
		for _, file := range files {
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			places[filepath.Base(file)+" "+when] = string(content)
		}
	}
	read("while it runs")
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	places["the log"] = log.String()
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	read("at rest")
	for place, content := range places {
		for i, secret := range secrets {
			// The last four characters are the hint.
			if half := secret[21:64]; strings.Contains(content, half) || strings.Contains(content, secret) {
				t.Errorf("secret %d is in %s", i, place)
			}
			if key, err := keystring.Parse(secret); err == nil {
				if private, ok := key.PrivateKey(); ok && strings.Contains(content, string(private.Seed())) {
					t.Errorf("the seed of key %d is in %s", i, place)
				}
			}
		}
	}
}
