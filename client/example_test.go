package client_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/latchkey-api/latchkey/client"
	"github.com/latchkey-api/latchkey/keys/keystring"
)

func Example() {
	// `latchkey keys create` prints such a key; a program reads it from its environment or a file, never from its source.
	key, err := keystring.New(keystring.Test, keystring.Ed25519)
	if err != nil {
		fmt.Println(err)
		return
	}
	service := httptest.NewServer(verifying(key))
	defer service.Close()

	transport, err := client.New(service.URL, key.Reveal(), client.Options{Scopes: []string{"accounts:read"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	caller := &http.Client{Transport: transport, Timeout: 10 * time.Second}
	resp, err := caller.Get(service.URL + "/service/account/stevenm")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	fmt.Println(resp.StatusCode, string(body), err)
	// Output: 200 {"id":"2112","username":"stevenm"} <nil>
}

// A program in another language, or curl, needs only a token. Mint makes one without a Transport.
func ExampleMint() {
	key, err := keystring.New(keystring.Test, keystring.Ed25519)
	if err != nil {
		fmt.Println(err)
		return
	}
	noon := time.Date(2026, time.November, 23, 12, 0, 0, 0, time.UTC)
	text, err := client.Mint(key.Reveal(), client.Options{
		TTL: time.Minute, Scopes: []string{"accounts:read", "storyspaces:read"}, Now: func() time.Time { return noon },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(text, ".")[1])
	if err != nil {
		fmt.Println(err)
		return
	}
	var claims struct {
		APIKey, Aud, Scope string
		Exp                int64
	}
	if err := json.Unmarshal(payload, &claims); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(claims.APIKey == key.ID())
	fmt.Println(claims.Aud)
	fmt.Println(claims.Scope)
	fmt.Println(time.Unix(claims.Exp, 0).UTC())
	// Output:
	// true
	// latchkey-api
	// accounts:read storyspaces:read
	// 2026-11-23 12:01:00 +0000 UTC
}

// New refuses a wrong key or origin at once. Its errors never have the key.
func ExampleNew_refused() {
	key, err := keystring.New(keystring.Test, keystring.Ed25519)
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = client.New("https://api.example.com", key.Reveal()[1:], client.Options{})
	fmt.Println("cut:", errors.Is(err, keystring.ErrForm))

	_, err = client.New("https://api.example.com/service", key.Reveal(), client.Options{})
	fmt.Println(err)
	// Output:
	// cut: true
	// the origin must be a scheme and a host and nothing more, such as https://api.example.com
}

// verifying is a stand-in for the service: it checks the signature with the public key.
func verifying(key keystring.Key) http.HandlerFunc {
	private, _ := key.PrivateKey()
	public := private.Public().(ed25519.PublicKey)
	return func(w http.ResponseWriter, r *http.Request) {
		bearer := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
		dot := strings.LastIndexByte(bearer, '.')
		if dot < 0 {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		signature, err := base64.RawURLEncoding.DecodeString(bearer[dot+1:])
		if err != nil || !ed25519.Verify(public, []byte(bearer[:dot]), signature) {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		var claims struct{ APIKey, Scope string }
		_, payload, _ := strings.Cut(bearer[:dot], ".")
		text, err := base64.RawURLEncoding.DecodeString(payload)
		if err != nil || json.Unmarshal(text, &claims) != nil || claims.APIKey != key.ID() || claims.Scope != "accounts:read" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		_, _ = io.WriteString(w, `{"id":"2112","username":"stevenm"}`)
	}
}
