package harness

import (
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// Call is one request. The path goes on the wire as it stands, escapes and all.
type Call struct {
	Method string // GET when empty
	Path   string
	Token  string // sent as Bearer when not empty
	Auth   []string
	Header map[string]string
	Body   string

	Unready bool // the test expects that 503 is possible
}

// Answer is what came back, read to the end.
type Answer struct {
	Call   string // method and path, for messages
	Status int
	Header http.Header
	Body   string
	Closes bool // the service said that it closes the connection
}

// HTTPClient follows no redirects and does not decompress: tests see the answers as they were sent.
var HTTPClient = &http.Client{
	Timeout:       15 * time.Second,
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	Transport:     &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 32},
}

// ValidRequestID is the form of a request id.
var ValidRequestID = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// Do sends c and checks what every answer of the service must have: see Answer.check.
func (tg *Target) Do(t *testing.T, c Call) Answer {
	t.Helper()
	a, err := tg.Try(t, c)
	if err != nil {
		t.Fatalf("%s %s: %v", c.Method, c.Path, err)
	}
	return a
}

// Try is Do for calls whose connection may fail.
func (tg *Target) Try(t *testing.T, c Call) (Answer, error) {
	t.Helper()
	if c.Method == "" {
		c.Method = http.MethodGet
	}
	var body io.Reader
	if c.Body != "" {
		body = strings.NewReader(c.Body)
	}
	req, err := http.NewRequestWithContext(t.Context(), c.Method, tg.URL, body)
	if err != nil {
		t.Fatal(err)
	}
	// Opaque is the one way to have net/http send a path without parsing and cleaning it.
	req.URL = &url.URL{Scheme: req.URL.Scheme, Host: req.URL.Host, Opaque: req.URL.EscapedPath() + c.Path}
	for name, value := range c.Header {
		req.Header.Set(name, value)
	}
	if c.Token != "" {
		c.Auth = append(slices.Clone(c.Auth), "Bearer "+c.Token)
	}
	req.Header["Authorization"] = c.Auth
	for _, line := range c.Auth {
		tg.rememberToken(line)
	}

	resp, err := HTTPClient.Do(req)
	if err != nil {
		return Answer{}, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return Answer{}, err
	}
	a := Answer{
		Call:   c.Method + " " + c.Path,
		Status: resp.StatusCode,
		Header: resp.Header,
		Body:   string(text),
		Closes: resp.Close,
	}
	a.check(t, tg, c)
	if a.Status == http.StatusCreated {
		for _, text := range KeyString.FindAllString(a.Body, -1) {
			tg.RememberKey(t, text)
		}
	}
	return a, nil
}

// rememberToken remembers the token of an Authorization line, and its parts. Short parts stand in every log by chance.
func (tg *Target) rememberToken(line string) {
	_, token, found := strings.Cut(line, " ")
	if !found {
		token = line
	}
	for _, part := range append(strings.Split(token, "."), token) {
		if len(part) >= 20 {
			tg.remember(part)
		}
	}
}

// check is what every answer must have.
func (a Answer) check(t *testing.T, tg *Target, c Call) {
	t.Helper()
	if a.Status >= 500 && !(c.Unready && a.Status == http.StatusServiceUnavailable) {
		t.Errorf("%s: %d %s", a.Call, a.Status, a.Body)
	}
	if id := a.Header.Get("X-Request-Id"); !ValidRequestID.MatchString(id) {
		t.Errorf("%s: %d with X-Request-ID %q", a.Call, a.Status, id)
	}
	for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"} {
		if got := a.Header.Values(name); len(got) != 1 || got[0] != want {
			t.Errorf("%s: %d with %s %q, want %s", a.Call, a.Status, name, got, want)
		}
	}
	if hsts := a.Header.Get("Strict-Transport-Security"); tg.IsLocal() && hsts != "" {
		t.Errorf("%s: %d over plain HTTP with Strict-Transport-Security %q", a.Call, a.Status, hsts)
	}
	if tg.IsLocal() && a.Header.Get("Server") != "" {
		t.Errorf("%s: %d with Server %q", a.Call, a.Status, a.Header.Get("Server"))
	}
	if a.Status >= 400 && c.Method != http.MethodHead {
		a.checkErrorShape(t)
	}
	printed := a.Body + "\n" + fmt.Sprint(a.Header)
	if a.Status != http.StatusCreated && KeyString.MatchString(printed) {
		t.Errorf("%s: %d with a key string: %s", a.Call, a.Status, printed)
	}
	secret := []string{tg.Secrets.APIKey, tg.Secrets.SecretKey}
	for _, line := range c.Auth {
		if token := strings.TrimPrefix(line, "Bearer "); len(token) >= 20 {
			secret = append(secret, strings.Split(token, ".")...)
		}
	}
	for _, text := range secret {
		if len(text) >= 20 && strings.Contains(printed, text) {
			t.Errorf("%s: the answer has the secret %q:\n%s", a.Call, text, printed)
		}
	}
}

// checkErrorShape demands {"detail": a text, or a list of fields where 422}, as JSON.
func (a Answer) checkErrorShape(t *testing.T) {
	t.Helper()
	a.IsJSON(t)
	var members map[string]json.RawMessage
	if err := json.Unmarshal([]byte(a.Body), &members); err != nil || len(members) != 1 || members["detail"] == nil {
		t.Errorf("%s: %d, the body is not {\"detail\": ...}: %s", a.Call, a.Status, a.Body)
		return
	}
	if a.Status == http.StatusUnprocessableEntity {
		a.Fields(t)
		return
	}
	var text string
	if err := json.Unmarshal(members["detail"], &text); err != nil || text == "" {
		t.Errorf("%s: %d, detail is not a text: %s", a.Call, a.Status, a.Body)
	}
}

// IsJSON demands the media type of JSON.
func (a Answer) IsJSON(t *testing.T) {
	t.Helper()
	if media, _, err := mime.ParseMediaType(a.Header.Get("Content-Type")); err != nil || media != "application/json" {
		t.Errorf("%s: %d with Content-Type %q, want application/json", a.Call, a.Status, a.Header.Get("Content-Type"))
	}
}

// Is demands a status and, unless want is "", exactly this JSON as the body.
func (a Answer) Is(t *testing.T, status int, want string) {
	t.Helper()
	if a.Status != status {
		t.Errorf("%s: %d %s, want %d %s", a.Call, a.Status, a.Body, status, want)
		return
	}
	if want != "" && strings.TrimSpace(a.Body) != want {
		t.Errorf("%s: body %s, want %s", a.Call, a.Body, want)
	}
}

// IsRefused demands a status, {"detail": detail}, and exactly this WWW-Authenticate ("" for none).
func (a Answer) IsRefused(t *testing.T, status int, detail, challenge string) {
	t.Helper()
	a.Is(t, status, `{"detail":"`+detail+`"}`)
	if got := strings.Join(a.Header.Values("WWW-Authenticate"), " | "); got != challenge {
		t.Errorf("%s: %d with WWW-Authenticate %q, want %q", a.Call, a.Status, got, challenge)
	}
}

// IsError demands a status with its standard text as detail.
func (a Answer) IsError(t *testing.T, status int) {
	t.Helper()
	a.IsRefused(t, status, http.StatusText(status), "")
}

// field is one problem of a 422.
type field struct {
	Loc  []string `json:"loc"`
	Msg  string   `json:"msg"`
	Type string   `json:"type"`
}

// Fields reads a 422: a list of loc, msg and type, and nothing else.
func (a Answer) Fields(t *testing.T) []field {
	t.Helper()
	var body struct {
		Detail []field `json:"detail"`
	}
	decoder := json.NewDecoder(strings.NewReader(a.Body))
	decoder.DisallowUnknownFields() // "input" above all: it would echo the request
	if err := decoder.Decode(&body); err != nil {
		t.Errorf("%s: %d, not a list of fields: %v: %s", a.Call, a.Status, err, a.Body)
		return nil
	}
	if len(body.Detail) == 0 {
		t.Errorf("%s: %d names no field: %s", a.Call, a.Status, a.Body)
	}
	for _, f := range body.Detail {
		if len(f.Loc) == 0 || f.Msg == "" || f.Type == "" {
			t.Errorf("%s: %d, a field lacks loc, msg or type: %s", a.Call, a.Status, a.Body)
		}
	}
	return body.Detail
}

// IsInvalid demands a 422 with exactly one problem, at loc ("query limit").
func (a Answer) IsInvalid(t *testing.T, loc string) {
	t.Helper()
	if a.Status != http.StatusUnprocessableEntity {
		t.Errorf("%s: %d %s, want 422 about %s", a.Call, a.Status, a.Body, loc)
		return
	}
	if fields := a.Fields(t); len(fields) != 1 || strings.Join(fields[0].Loc, " ") != loc {
		t.Errorf("%s: 422 %s, want one field at %s", a.Call, a.Body, loc)
	}
}

// Decode reads the body into v.
func (a Answer) Decode(t *testing.T, v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(a.Body), v); err != nil {
		t.Fatalf("%s: %d, the body is not the expected JSON: %v: %s", a.Call, a.Status, err, a.Body)
	}
}

// Post is a call with a JSON body.
func Post(path, body string) Call {
	return Call{
		Method: http.MethodPost, Path: path, Body: body,
		Header: map[string]string{"Content-Type": "application/json"},
	}
}

// IsNotStored demands Cache-Control: no-store.
func (a Answer) IsNotStored(t *testing.T) {
	t.Helper()
	if got := a.Header.Get("Cache-Control"); got != "no-store" {
		t.Errorf("%s: %d with Cache-Control %q, want no-store", a.Call, a.Status, got)
	}
}
