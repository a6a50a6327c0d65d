package cli

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"os"
	"strings"
	"testing"

	"github.com/latchkey-api/latchkey/keys/keystring"
)

// typed makes text the standard input.
func typed(t *testing.T, text string) {
	t.Helper()
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := writer.WriteString(text); err != nil {
		t.Fatal(err)
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	standardInput(t, reader)
}

func standardInput(t *testing.T, in *os.File) {
	t.Helper()
	before := os.Stdin
	os.Stdin = in
	t.Cleanup(func() {
		os.Stdin = before
		_ = in.Close()
	})
}

func newKeyString(t *testing.T, kind keystring.Kind) keystring.Key {
	t.Helper()
	key, err := keystring.New(keystring.Live, kind)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// mistyped is the key string with one other digit.
func mistyped(key keystring.Key) string {
	text := []byte(key.Reveal())
	if text[30] == 'a' {
		text[30] = 'b'
	} else {
		text[30] = 'a'
	}
	return string(text)
}

func TestKeysPem(t *testing.T) {
	key := newKeyString(t, keystring.Ed25519)
	private, _ := key.PrivateKey()
	for name, give := range map[string]func(t *testing.T) []string{
		"a flag":                  func(*testing.T) []string { return []string{"--key=" + key.Reveal()} },
		"the environment":         func(t *testing.T) []string { t.Setenv("LATCHKEY_KEY", key.Reveal()); return nil },
		"standard input":          func(t *testing.T) []string { typed(t, key.Reveal()+"\n"); return nil },
		"an unfinished line":      func(t *testing.T) []string { typed(t, key.Reveal()); return nil },
		"a line of another world": func(t *testing.T) []string { typed(t, key.Reveal()+"\r\n"); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			dir := inEmptyFolder(t)
			code, stdout, stderr := run(t, append([]string{"keys", "pem"}, give(t)...)...)
			block, rest := pem.Decode([]byte(stdout))
			if code != 0 || block == nil || block.Type != "PRIVATE KEY" || len(rest) != 0 || stderr != "" {
				t.Fatalf("%d %d bytes, says %s", code, len(stdout), stderr)
			}
			parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
			if read, ok := parsed.(ed25519.PrivateKey); err != nil || !ok || !read.Equal(private) {
				t.Errorf("another key: %T %v", parsed, err)
			}
			if left, _ := os.ReadDir(dir); len(left) != 0 {
				t.Errorf("it left %v behind", left)
			}
		})
	}
	t.Run("json", func(t *testing.T) {
		var object struct{ ID, PEM string }
		decodeJSON(t, &object, "keys", "pem", "--key="+key.Reveal())
		if want, _ := key.PEM(); object.ID != key.ID() || object.PEM != string(want) {
			t.Errorf("another object: %s", object.ID)
		}
	})
}

func TestKeysPemAndTokenRefuseBadKeys(t *testing.T) {
	inEmptyFolder(t)
	key := newKeyString(t, keystring.Ed25519)
	tests := []struct{ name, key, pem, token string }{
		{"hs256", newKeyString(t, keystring.HS256).Reveal(), "take the string of an hs256 key as it is", ""},
		{"a typing error", mistyped(key), keystring.ErrChecksum.Error(), keystring.ErrChecksum.Error()},
		{"cut off", key.Reveal()[:69], keystring.ErrForm.Error(), keystring.ErrForm.Error()},
		{"something else", "hunter2", keystring.ErrForm.Error(), keystring.ErrForm.Error()},
		{"nothing", "", "the key is empty", "the key is empty"},
	}
	for _, tt := range tests {
		check := func(how, sentence, command string, args ...string) {
			t.Helper()
			code, stdout, stderr := run(t, append(strings.Fields(command), args...)...)
			if sentence == "" {
				if code != 0 || stdout == "" {
					t.Errorf("%s, %s by %s: %d %s", command, tt.name, how, code, stderr)
				}
				return
			}
			if code != 1 || stdout != "" || !strings.Contains(stderr, sentence) || len(tt.key) > 21 && strings.Contains(stderr, tt.key[21:]) {
				t.Errorf("%s, %s by %s: %d %q %s", command, tt.name, how, code, stdout, stderr)
			}
		}
		t.Run(tt.name, func(t *testing.T) {
			check("flag", tt.pem, "keys pem", "--key="+tt.key)
			check("flag", tt.token, "token", "--key="+tt.key)
			typed(t, tt.key+"\n")
			check("standard input", tt.pem, "keys pem")
			t.Setenv("LATCHKEY_KEY", tt.key)
			check("environment", tt.pem, "keys pem")
			check("environment", tt.token, "token")
		})
	}
}

func TestStandardInputCanBeInterrupted(t *testing.T) {
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = writer.Close() }()
	standardInput(t, reader)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, args := range [][]string{{"keys", "pem"}, {"explain"}} {
		var stdout, stderr bytes.Buffer
		code := Main(ctx, append([]string{"latchkey"}, args...), &stdout, &stderr)
		if code != 1 || stdout.Len() != 0 || stderr.String() != "latchkey: interrupted\n" {
			t.Errorf("%v: %d, says %s", args, code, stderr.String())
		}
	}
}

func TestTokenForAKey(t *testing.T) {
	inEmptyFolder(t)
	t.Setenv("JWT_AUDIENCE", "another-api")
	t.Setenv("JWT_TTL", "90s")
	for kind, algorithm := range map[keystring.Kind]string{keystring.Ed25519: "EdDSA", keystring.HS256: "HS256"} {
		key := newKeyString(t, kind)
		for _, tt := range []struct {
			args  []string
			ttl   int64
			scope any
		}{
			{nil, 90, nil},
			{[]string{"--ttl=1h"}, 3600, nil},
			{[]string{"--scope=accounts:read", "--scope=accounts:write"}, 90, "accounts:read accounts:write"},
			{[]string{"--scope="}, 90, ""},
		} {
			code, text, stderr := run(t, append([]string{"token", "--key=" + key.Reveal()}, tt.args...)...)
			parts := strings.Split(strings.TrimSpace(text), ".")
			if code != 0 || len(parts) != 3 {
				t.Fatalf("%v: %d %s", tt.args, code, stderr)
			}
			var header, claims map[string]any
			for i, into := range []*map[string]any{&header, &claims} {
				raw, err := base64.RawURLEncoding.DecodeString(parts[i])
				if err != nil || json.Unmarshal(raw, into) != nil {
					t.Fatalf("%q: %v", raw, err)
				}
			}
			exp, _ := claims["exp"].(float64)
			iat, _ := claims["iat"].(float64)
			if header["alg"] != algorithm || header["kid"] != key.ID() || claims["apiKey"] != key.ID() ||
				claims["aud"] != "another-api" || int64(exp-iat) != tt.ttl || claims["scope"] != tt.scope {
				t.Errorf("%v: %v %v", tt.args, header, claims)
			}
		}
		for _, ttl := range []string{"61m", "-1s", "1ms"} {
			if code, stdout, stderr := run(t, "token", "--key="+key.Reveal(), "--ttl="+ttl); code != 1 || stdout != "" || !strings.Contains(stderr, "--ttl") {
				t.Errorf("--ttl %s: %d %s", ttl, code, stderr)
			}
		}
	}
}

func TestHelpHidesTheValueOfTheVariable(t *testing.T) {
	inEmptyFolder(t)
	key := newKeyString(t, keystring.Ed25519).Reveal()
	t.Setenv("LATCHKEY_KEY", key)
	for _, tt := range []struct {
		args  []string
		named bool
	}{
		{[]string{"token", "--help"}, true},
		{[]string{"keys", "pem", "--help"}, true},
		{[]string{"--help"}, false},
		{[]string{"keys", "--help"}, false},
		{[]string{"keys", "list", "--frob"}, false},
		{[]string{"token", "--ttl=soon"}, false},
	} {
		_, stdout, stderr := run(t, tt.args...)
		if strings.Contains(stdout+stderr, key[12:]) {
			t.Errorf("%v prints the key", tt.args)
		}
		if strings.Contains(stdout, "$LATCHKEY_KEY") != tt.named {
			t.Errorf("%v: whether it names the variable is not %v:\n%s", tt.args, tt.named, stdout)
		}
	}
}
