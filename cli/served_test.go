package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/latchkey-api/latchkey/app"
	"github.com/latchkey-api/latchkey/client"
	"github.com/latchkey-api/latchkey/configs"
	"github.com/latchkey-api/latchkey/keys"
	"github.com/latchkey-api/latchkey/store"
)

// served is a running service with an administrator's key, and its store opened a second time, as a command does.
type served struct {
	config  configs.Config
	store   *store.Store
	keyring *keys.Keyring
	url     string
	admin   string // key string
}

// serve starts the service on a store of its own, and stops it at the end of the test.
func serve(t *testing.T) *served {
	t.Helper()
	s := beside(t, testConfig(t))
	s.url = "http://" + running(t, s.config)
	_, text, err := s.keyring.Create(t.Context(), cliActor(), keys.Request{Client: "operations", Scopes: []string{"keys:admin"}})
	if err != nil {
		t.Fatal(err)
	}
	s.admin = text.Reveal()
	return s
}

// testConfig is a development configuration on a store of its own.
func testConfig(t *testing.T) configs.Config {
	t.Helper()
	loaded, err := configs.Load(configs.Sources{Dir: t.TempDir(), Flags: map[string]string{
		"PORT": "0", "OPS_ADDR": "127.0.0.1:0", "DATABASE_URL": "sqlite:" + filepath.Join(t.TempDir(), "latchkey.db"),
	}})
	if err != nil {
		t.Fatal(err)
	}
	config := loaded.Config
	configs.FreshSecrets().Fill(&config)
	return config
}

// beside opens the store of config with a keyring.
func beside(t *testing.T, config configs.Config) *served {
	t.Helper()
	opened, err := store.Open(t.Context(), app.StoreOptions(config))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := opened.Close(); err != nil {
			t.Error(err)
		}
	})
	keyring, err := app.NewKeyring(config, opened, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		t.Fatal(err)
	}
	return &served{config: config, store: opened, keyring: keyring}
}

// running starts the service and returns its address. It is stopped at the end of the test.
func running(t *testing.T, config configs.Config) (address string) {
	t.Helper()
	a, err := app.New(t.Context(), config, "test", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	urls, ended := make(chan string, 1), make(chan error, 1)
	go func() { ended <- a.Run(ctx, func(url string) { urls <- url }) }()
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(<-ended, a.Close()); err != nil {
			t.Error(err)
		}
	})
	select {
	case url := <-urls:
		return strings.TrimPrefix(url, "http://")
	case <-time.After(20 * time.Second):
		t.Fatal("did not start in time")
	}
	return ""
}

// inItsFolder makes the command line work beside the service: on the same store, with the same master key.
func (s *served) inItsFolder(t *testing.T) {
	t.Helper()
	inEmptyFolder(t)
	t.Setenv("DATABASE_URL", s.config.DatabaseURL.Reveal())
	t.Setenv("MASTER_KEY", s.config.MasterKey.Reveal())
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

func detailOf(t *testing.T, answer *http.Response) string {
	t.Helper()
	var body struct{ Detail string }
	if err := json.NewDecoder(answer.Body).Decode(&body); err != nil {
		t.Fatal(err)
	}
	return body.Detail
}
