package middleware

import (
	"bytes"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
)

func TestTheLevelOfAFailure(t *testing.T) {
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

// sharedLog is a log that can be read while something is written.
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

// TestAFloodOfOneSortDoesNotHideTheOther: bad tokens, which anybody can send, must not hide what is wrong with the
// service itself.
func TestAFloodOfOneSortDoesNotHideTheOther(t *testing.T) {
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
			for range 100 * refusalLines {
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
			limit := time.After(20 * time.Second)
			tick := time.NewTicker(10 * time.Millisecond)
			defer tick.Stop()
			for log.count(tt.later) == 0 {
				select {
				case <-tick.C:
				case <-limit:
					t.Fatal("what was not logged is not counted")
				}
			}
		})
	}
}
