package client_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
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

// verifying stands for the service: it checks the signature with the public key, as anyone can who has that.
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
