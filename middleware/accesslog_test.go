package middleware

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"github.com/latchkey-api/latchkey/keys"
	"github.com/latchkey-api/latchkey/keys/keystring"
)

func TestAccessLogLevelOfAFailure(t *testing.T) {
	for path, level := range map[string]string{"/fails": "ERROR", "/panics": "ERROR", "/waits": "ERROR", "/down": "WARN", "/nope": ""} {
		var log bytes.Buffer
		app := service(t, &log, func(o *Options) { o.AccessLog, o.RequestTimeout = false, 10*time.Millisecond })
		answer, _ := send(t, app, "GET", path)
		got := lines(t, &log, "request failed")
		if level == "" {
			if len(got) != 0 {
				t.Errorf("%s, a refusal, is logged as a failure: %v", path, got)
			}
			continue
		}
		if len(got) != 1 || got[0]["level"] != level || got[0]["route"] != path || got[0]["request_id"] != answer.Header.Get("X-Request-ID") {
			t.Errorf("%s: %v, want one line of level %s", path, got, level)
		}
	}
}

// sharedLog is a log that can be read while it is written.
type sharedLog struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *sharedLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *sharedLog) count(msg string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return bytes.Count(l.text.Bytes(), []byte(`"msg":"`+msg+`"`))
}

// TestLineBudgetIsSeparateForRefusalsAndFailures: a flood of bad tokens, which anybody can send, must not hide failures of the
// service itself.
func TestLineBudgetIsSeparateForRefusalsAndFailures(t *testing.T) {
	for _, tt := range []struct{ flood, other, later string }{
		{"/nope", "/fails", "refusals not logged one by one"},
		{"/fails", "/nope", "failed requests not logged one by one"},
	} {
		t.Run(strings.TrimPrefix(tt.flood, "/"), func(t *testing.T) {
			var log sharedLog
			handler := service(t, &log, nil).Handler()
			isLogged := func(path string) bool {
				before := log.count("request")
				var request fasthttp.RequestCtx
				request.Request.SetRequestURI(path)
				handler(&request)
				return log.count("request") > before
			}
			cut := false
			for range 100 * linesPerSecond {
				if cut = !isLogged(tt.flood); cut {
					break
				}
			}
			if !cut {
				t.Fatalf("a flood of %s is logged line by line", tt.flood)
			}
			if !isLogged(tt.other) {
				t.Errorf("%s is not logged in a flood of %s", tt.other, tt.flood)
			}
			timeout := time.After(20 * time.Second)
			tick := time.NewTicker(10 * time.Millisecond)
			defer tick.Stop()
			for log.count(tt.later) == 0 {
				select {
				case <-tick.C:
				case <-timeout:
					t.Fatal("no line counts what was suppressed")
				}
			}
		})
	}
}

// TestAccessLogNamesTheProvenKey: who still uses a leaked key is found by its id in the log.
func TestAccessLogNamesTheProvenKey(t *testing.T) {
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

func TestAccessLogNamesTheKeyOfAFailure(t *testing.T) {
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
