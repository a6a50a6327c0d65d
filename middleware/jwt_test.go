package middleware

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"hash"
	"net/http"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/latchkey-api/latchkey/fault"
	"github.com/latchkey-api/latchkey/token"
)

// goodToken has the form of a token. No key made its signature.
const goodToken = "eyJhbGciOiJIUzI1NiJ9.e30.c2ln"

func TestProcessToken(t *testing.T) {
	tests := []struct {
		name, header string
		accepted     bool
	}{
		{"bare", goodToken, true},
		{"with the scheme", "Bearer " + goodToken, true},
		{"the scheme in another case", "bEaReR " + goodToken, true},
		{"more spaces", "Bearer    " + goodToken, true},
		{"the scheme alone", "Bearer", false},
		{"the scheme and spaces", "Bearer   ", false},
		{"another scheme", "Basic " + goodToken, false},
		{"the scheme twice", "Bearer Bearer " + goodToken, false},
		{"a tab for the space", "Bearer\t" + goodToken, false},
		{"no space", "Bearer" + goodToken, false}, // one segment more of base64url, whose header is no JSON
		{"two tokens", goodToken + " " + goodToken, false},
		{"two tokens with a comma", goodToken + "," + goodToken, false},
		{"empty", "", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := processToken(tt.header)
			if tt.accepted && (err != nil || got != goodToken) {
				t.Errorf("got %q, %v", got, err)
			}
			if !tt.accepted && fault.CodeOf(err) != fault.TokenMalformed {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

// TestProcessTokenCopiesTheToken: the next request overwrites the buffer of the header.
func TestProcessTokenCopiesTheToken(t *testing.T) {
	buffer := []byte("Bearer " + goodToken)
	got, err := processToken(unsafe.String(&buffer[0], len(buffer)))
	if err != nil {
		t.Fatal(err)
	}
	for i := range buffer {
		buffer[i] = 'x'
	}
	if got != goodToken {
		t.Errorf("the next request turned the token into %q", got)
	}
}

// TestKeyForRefusesHeaders: the signatures are good, so only the header of the token is at fault.
func TestKeyForRefusesHeaders(t *testing.T) {
	now := time.Now()
	app, _ := guarded(t, 0, &now)
	_, rest, _ := strings.Cut(sharedToken(t, now, nil), ".")
	payload, _, _ := strings.Cut(rest, ".")
	signed := func(sum func() hash.Hash, header string) string {
		text := base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + payload
		mac := hmac.New(sum, []byte("secret"))
		mac.Write([]byte(text))
		return text + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
	}
	if answer, body := send(t, app, "GET", "/guarded", "Authorization", signed(sha256.New, `{"alg":"HS256"}`)); answer.StatusCode != http.StatusOK {
		t.Fatalf("%d %s", answer.StatusCode, body)
	}
	for _, raw := range []string{
		signed(sha256.New, `{"alg":"HS256","crit":["exp"]}`), signed(sha256.New, `{"alg":"HS256","crit":[]}`),
		signed(sha256.New, `{"alg":"HS256","b64":true}`), signed(sha256.New, `{"alg":"HS256","b64":false}`),
		signed(sha256.New, `{"alg":"HS256","kid":7}`), signed(sha256.New, `{"alg":"HS256","kid":null}`), signed(sha256.New, `{"alg":"HS256","kid":""}`),
		signed(sha512.New384, `{"alg":"HS384"}`),
	} {
		answer, body := send(t, app, "GET", "/guarded", "Authorization", raw)
		if answer.StatusCode != http.StatusUnauthorized || body != `{"detail":"Error decoding token: key or algorithm not acceptable"}` {
			t.Errorf("%s: %d %s", raw, answer.StatusCode, body)
		}
	}
}

func FuzzProcessToken(f *testing.F) {
	for _, seed := range []string{goodToken, "Bearer " + goodToken, "bearer  a.b.c", "Bearer", " ", strings.Repeat(".", 5000), "\x00.\xff."} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, header string) {
		got, err := processToken(header)
		if err != nil {
			if code := fault.CodeOf(err); code != fault.TokenMalformed && code != fault.TokenTooLong || got != "" {
				t.Errorf("refused with %q, %v", got, err)
			}
			return
		}
		if !strings.HasSuffix(header, got) || len(got) > token.MaxLength || strings.Count(got, ".") != 2 || strings.ContainsAny(got, " \t\r\n") {
			t.Errorf("accepted %q of %q", got, header)
		}
	})
}
