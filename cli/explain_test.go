package cli

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/latchkey-api/latchkey/configs"
	"github.com/latchkey-api/latchkey/explain"
	"github.com/latchkey-api/latchkey/keys"
	"github.com/latchkey-api/latchkey/keys/keystring"
)

// pipe makes text the standard input of the test.
func pipe(t *testing.T, text string) {
	t.Helper()
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	terminal := os.Stdin
	os.Stdin = reader
	t.Cleanup(func() { os.Stdin = terminal; _ = reader.Close() })
	go func() { _, _ = io.WriteString(writer, text); _ = writer.Close() }()
}

// inDevelopment makes an empty folder with fresh secrets the working directory, and returns a token of the shared key.
func inDevelopment(t *testing.T) (dir, good string) {
	t.Helper()
	dir = inEmptyFolder(t)
	if code, _, stderr := run(t, "init"); code != 0 {
		t.Fatal(stderr)
	}
	code, good, stderr := run(t, "token", "--scope=accounts:read")
	if code != 0 {
		t.Fatal(stderr)
	}
	return dir, strings.TrimSpace(good)
}

func TestExplainReadsArgumentsAndStandardInput(t *testing.T) {
	dir, good := inDevelopment(t)
	for _, args := range [][]string{
		{good}, {"Bearer " + good}, {"bearer", good}, {"Authorization: Bearer " + good}, {"authorization:", "Bearer", good}, {" " + good + "\n"},
	} {
		code, stdout, stderr := run(t, append([]string{"explain"}, args...)...)
		if code != 0 || stderr != "" || !strings.Contains(stdout, "\nScopes: accounts:read\n") {
			t.Errorf("%q: exit code %d\n%s%s", args, code, stdout, stderr)
		}
	}
	for _, args := range [][]string{{}, {"-"}} {
		for _, text := range []string{good, good + "\r\n", "Authorization: Bearer " + good + "\n"} {
			pipe(t, text)
			if code, stdout, stderr := run(t, append([]string{"explain"}, args...)...); code != 0 {
				t.Errorf("%q with %q piped in: exit code %d\n%s%s", args, text, code, stdout, stderr)
			}
		}
	}
	pipe(t, "")
	if code, stdout, _ := run(t, "explain"); code != 1 || !strings.Contains(stdout, "401: authorization header missing") {
		t.Errorf("nothing piped in: exit code %d\n%s", code, stdout)
	}
	pipe(t, strings.Repeat("x", 1<<20))
	if code, stdout, _ := run(t, "explain"); code != 1 || !strings.Contains(stdout, "431: Request Header Fields Too Large") {
		t.Errorf("a megabyte piped in: exit code %d\n%s", code, stdout)
	}
	terminal, err := os.Open(os.DevNull) // a device and not a pipe, like a terminal
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = terminal.Close() }()
	os.Stdin = terminal
	if code, _, stderr := run(t, "explain"); code != 1 || !strings.Contains(stderr, "give a token") {
		t.Errorf("nothing given: exit code %d, %s", code, stderr)
	}
	if left, _ := os.ReadDir(dir); len(left) != 1 {
		t.Errorf("the shared key needs no store, and one was made: %v", left)
	}
}

func TestExplainOfARefusal(t *testing.T) {
	_, good := inDevelopment(t)
	code, stdout, stderr := run(t, "explain", "--jwt-audience=another", good)
	for _, want := range []string{
		"ok     signature  made with this key\n",
		"FAILS  audience   aud is \"latchkey-api\", this service is \"another\"\n",
		"\nThe service answers 401: Error decoding token: invalid audience\nWhat to do: Put this service's JWT_AUDIENCE",
	} {
		if !strings.Contains(stdout, want) {
			t.Errorf("it lacks %q:\n%s", want, stdout)
		}
	}
	if code != 1 || stderr != "latchkey: this token is refused\n" || strings.Contains(stdout, "lifetime") {
		t.Errorf("exit code %d, said %q, printed\n%s", code, stderr, stdout)
	}
	code, stdout, _ = run(t, "explain", "--json", "--jwt-audience=another", good)
	var got explain.Explanation
	if err := json.Unmarshal([]byte(stdout), &got); err != nil || code != 1 || got.Accepted || got.Status != 401 || len(got.Checks) != 9 {
		t.Errorf("exit code %d, %v\n%s", code, err, stdout)
	}
}

func TestExplainNeedsTheStoreForARegisteredKey(t *testing.T) {
	dir, good := inDevelopment(t)
	unknown := signer{"E0123456789A", "EdDSA", func(string) []byte { return make([]byte, 64) }, "", ""}.token(t, nil, nil)
	code, stdout, _ := run(t, "explain", unknown)
	if code != 1 || !strings.Contains(stdout, "names the registered key E0123456789A, and to check that, the store is needed: there is no store at") {
		t.Errorf("exit code %d\n%s", code, stdout)
	}
	if strings.Contains(stdout, "The service answers") {
		t.Errorf("it tells what it cannot know:\n%s", stdout)
	}
	if left, _ := os.ReadDir(dir); len(left) != 1 {
		t.Errorf("it made a store: %v", left)
	}
	if code, stdout, _ := run(t, "migrate"); code != 0 {
		t.Fatal(stdout)
	}
	if code, stdout, _ := run(t, "explain", unknown); code != 1 || !strings.Contains(stdout, "this service has no key E0123456789A") {
		t.Errorf("exit code %d\n%s", code, stdout)
	}
	t.Setenv("API_KEY", "our-own-key")
	t.Setenv("JWT_SECRET_KEY", strings.Repeat("s", 32))
	if code, stdout, _ := run(t, "explain", "--app-env=production", unknown); code != 1 || !strings.Contains(stdout, "made for development") {
		t.Errorf("the store of the other environment: exit code %d\n%s", code, stdout)
	}
	if code, stdout, _ := run(t, "explain", good); code != 1 || !strings.Contains(stdout, "JWT_SECRET_KEY") {
		t.Errorf("exit code %d\n%s", code, stdout)
	}
}

func TestExplainOfAKey(t *testing.T) {
	config := testConfig(t)
	a := beside(t, config)
	rate, burst := 50.0, 100
	record, text, err := a.keyring.Create(t.Context(), cliActor(), keys.Request{
		Client: "acme", Scopes: []string{"accounts:read", "storyspaces:read"}, Rate: &rate, Burst: &burst, ExpiresAt: new(time.Now().Add(73 * time.Hour)),
	})
	if err != nil {
		t.Fatal(err)
	}
	explained := func(claims object) *explain.Explanation {
		got, err := explainHeader(t.Context(), config, keySigner(text).token(t, nil, claims))
		if err != nil {
			t.Fatal(err)
		}
		if !got.Accepted || got.Status != 0 || got.Detail != "" || got.Remedy != "" {
			t.Fatalf("refused: %+v", got)
		}
		return got
	}
	got := explained(object{"scope": "accounts:read keys:admin frobnicate"})
	if c := got.Caller; c.Key != record.ID || c.Client != "acme" || c.Rate != 50 || c.Burst != 100 || !slices.Equal(c.Scopes, []string{"accounts:read"}) {
		t.Errorf("the caller is %+v", c)
	}
	notes := strings.Join(got.Notes, "\n")
	for _, want := range []string{"does not have the scope keys:admin", `there is no scope "frobnicate"`, "the key expires in 3 d"} {
		if !strings.Contains(notes, want) {
			t.Errorf("the notes lack %q:\n%s", want, notes)
		}
	}
	if got := explained(object{"scope": ""}); len(got.Caller.Scopes) != 0 || len(got.Notes) != 1 {
		t.Errorf("an empty scope: %+v", got)
	}
	_, successor, _, err := a.keyring.Rotate(t.Context(), cliActor(), record.ID, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	notes = strings.Join(explained(nil).Notes, "\n")
	if !strings.Contains(notes, "key rotated ") || !strings.Contains(notes, "successor "+successor.ID+"; it is accepted until ") {
		t.Errorf("the notes of a key in its grace:\n%s", notes)
	}
	if left, err := a.store.Key(t.Context(), record.ID); err != nil || !left.LastUsedAt.IsZero() {
		t.Errorf("explaining is using: %v %v", left.LastUsedAt, err)
	}
}

// TestExplainPrintsNoSecret puts secrets and terminal control sequences into every part of a token.
func TestExplainPrintsNoSecret(t *testing.T) {
	config := testConfig(t)
	config.JWTSecretKeyPrevious = configs.NewSecret("the-secret-before")
	config.MasterKeyPrevious = configs.NewSecret(base64.StdEncoding.EncodeToString(make([]byte, 32)))
	a := beside(t, config)
	_, text, err := a.keyring.Create(t.Context(), cliActor(), keys.Request{Client: "acme", Scopes: []string{"accounts:read"}})
	if err != nil {
		t.Fatal(err)
	}
	other, err := keystring.New(keystring.Live, keystring.HS256)
	if err != nil {
		t.Fatal(err)
	}
	secrets := []string{
		text.Reveal(), other.Reveal(), other.Reveal()[:50],
		config.APIKey.Reveal(), config.JWTSecretKey.Reveal(), "the-secret-before", config.MasterKey.Reveal(), config.MasterKeyPrevious.Reveal(),
	}
	hostile := append([]string{"\x1b[2J\x07", "a\nb\tc\r", "\u009b31m", "\u202e", "\x7f", strings.Repeat("long", 500)}, secrets...)
	outputs := 0
	for _, value := range hostile {
		headers := []string{value, "Bearer " + value, "x" + value + "x", strings.ReplaceAll(value, "_", ".")}
		for _, s := range []signer{sharedSigner(config), keySigner(text)} {
			for _, name := range []string{"alg", "kid", "crit", "typ"} {
				headers = append(headers, s.token(t, object{name: value}, nil))
			}
			for _, name := range []string{"apiKey", "aud", "scope", "iss", "exp"} {
				headers = append(headers, s.token(t, nil, object{name: value}), s.token(t, nil, object{name: " " + value + " "}))
			}
			headers = append(headers, s.token(t, nil, object{value: 1}), s.token(t, nil, object{"aud": []string{"x", value}}))
		}
		for _, header := range headers {
			got, err := explainHeader(t.Context(), config, header)
			if err != nil {
				t.Fatal(err)
			}
			var printed, encoded bytes.Buffer
			if err := printExplanation(&printed, got); err != nil {
				t.Fatal(err)
			}
			if err := json.NewEncoder(&encoded).Encode(got); err != nil {
				t.Fatal(err)
			}
			outputs++
			for _, out := range []string{printed.String(), encoded.String()} {
				for _, secret := range secrets {
					if strings.Contains(out, secret) || strings.HasPrefix(secret, "lk_") && strings.Contains(out, secret[21:40]) {
						t.Errorf("%q prints a secret:\n%s", header, out)
					}
				}
				if strings.ContainsFunc(out, func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }) || len(out) > 4000 {
					t.Errorf("%q prints more than text:\n%q", header, out)
				}
			}
		}
	}
	if outputs < 300 {
		t.Errorf("only %d outputs were read", outputs)
	}
}
