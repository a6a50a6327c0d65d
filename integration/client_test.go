package integration

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

// call is one request. The path goes on the wire as it stands, escapes and all.
type call struct {
	method string // GET when empty
	path   string
	token  string // sent as Bearer when not empty
	auth   []string
	header map[string]string
	body   string

	unready bool // 503 is an answer that the test expects
}

// answer is what came back, read to the end.
type answer struct {
	call   string // method and path, for messages
	status int
	header http.Header
	body   string
	closes bool // the service said that it closes the connection
}

// httpClient follows no redirect and asks for no compression: the tests want what the service said.
var httpClient = &http.Client{
	Timeout:       15 * time.Second,
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	Transport:     &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 32},
}

var validRequestID = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// do sends c and checks what holds for every answer of the service, see answer.check.
func (tg *target) do(t *testing.T, c call) answer {
	t.Helper()
	a, err := tg.try(t, c)
	if err != nil {
		t.Fatalf("%s %s: %v", c.method, c.path, err)
	}
	return a
}

// try is do for callers that expect the connection to fail sometimes.
func (tg *target) try(t *testing.T, c call) (answer, error) {
	t.Helper()
	if c.method == "" {
		c.method = http.MethodGet
	}
	var body io.Reader
	if c.body != "" {
		body = strings.NewReader(c.body)
	}
	req, err := http.NewRequestWithContext(t.Context(), c.method, tg.url, body)
	if err != nil {
		t.Fatal(err)
	}
	// Opaque is the one way to have net/http send a path without parsing and cleaning it.
	req.URL = &url.URL{Scheme: req.URL.Scheme, Host: req.URL.Host, Opaque: req.URL.EscapedPath() + c.path}
	for name, value := range c.header {
		req.Header.Set(name, value)
	}
	if c.token != "" {
		c.auth = append(slices.Clone(c.auth), "Bearer "+c.token)
	}
	req.Header["Authorization"] = c.auth
	for _, line := range c.auth {
		tg.rememberToken(line)
	}

	resp, err := httpClient.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return answer{}, err
	}
	a := answer{
		call:   c.method + " " + c.path,
		status: resp.StatusCode,
		header: resp.Header,
		body:   string(text),
		closes: resp.Close,
	}
	a.check(t, tg, c)
	if a.status == http.StatusCreated {
		for _, text := range keyString.FindAllString(a.body, -1) {
			tg.rememberKey(t, text)
		}
	}
	return a, nil
}

// rememberToken remembers an Authorization line and its parts. Short parts are left out: "x" stands in every log.
func (tg *target) rememberToken(line string) {
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

// check holds for every answer to every request.
func (a answer) check(t *testing.T, tg *target, c call) {
	t.Helper()
	if a.status >= 500 && !(c.unready && a.status == http.StatusServiceUnavailable) {
		t.Errorf("%s: %d %s", a.call, a.status, a.body)
	}
	if id := a.header.Get("X-Request-Id"); !validRequestID.MatchString(id) {
		t.Errorf("%s: %d with X-Request-ID %q", a.call, a.status, id)
	}
	for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"} {
		if got := a.header.Values(name); len(got) != 1 || got[0] != want {
			t.Errorf("%s: %d with %s %q, want %s", a.call, a.status, name, got, want)
		}
	}
	if hsts := a.header.Get("Strict-Transport-Security"); tg.local() && hsts != "" {
		t.Errorf("%s: %d over plain HTTP with Strict-Transport-Security %q", a.call, a.status, hsts)
	}
	if tg.local() && a.header.Get("Server") != "" {
		t.Errorf("%s: %d with Server %q", a.call, a.status, a.header.Get("Server"))
	}
	if a.status >= 400 && c.method != http.MethodHead {
		a.checkErrorShape(t)
	}
	printed := a.body + "\n" + fmt.Sprint(a.header)
	if a.status != http.StatusCreated && keyString.MatchString(printed) {
		t.Errorf("%s: %d with a key string: %s", a.call, a.status, printed)
	}
	secret := []string{tg.secrets.apiKey, tg.secrets.secretKey}
	for _, line := range c.auth {
		if token := strings.TrimPrefix(line, "Bearer "); len(token) >= 20 {
			secret = append(secret, strings.Split(token, ".")...)
		}
	}
	for _, text := range secret {
		if len(text) >= 20 && strings.Contains(printed, text) {
			t.Errorf("%s: the answer has %q, which is secret:\n%s", a.call, text, printed)
		}
	}
}

// checkErrorShape demands {"detail": a text, or a list of fields where 422}, as JSON.
func (a answer) checkErrorShape(t *testing.T) {
	t.Helper()
	a.isJSON(t)
	var members map[string]json.RawMessage
	if err := json.Unmarshal([]byte(a.body), &members); err != nil || len(members) != 1 || members["detail"] == nil {
		t.Errorf("%s: %d, the body is not {\"detail\": ...}: %s", a.call, a.status, a.body)
		return
	}
	if a.status == http.StatusUnprocessableEntity {
		a.fields(t)
		return
	}
	var text string
	if err := json.Unmarshal(members["detail"], &text); err != nil || text == "" {
		t.Errorf("%s: %d, detail is not a text: %s", a.call, a.status, a.body)
	}
}

// isJSON demands the media type of JSON.
func (a answer) isJSON(t *testing.T) {
	t.Helper()
	if media, _, err := mime.ParseMediaType(a.header.Get("Content-Type")); err != nil || media != "application/json" {
		t.Errorf("%s: %d with Content-Type %q, want application/json", a.call, a.status, a.header.Get("Content-Type"))
	}
}

// is demands a status and, unless want is "", exactly this JSON as the body.
func (a answer) is(t *testing.T, status int, want string) {
	t.Helper()
	if a.status != status {
		t.Errorf("%s: %d %s, want %d %s", a.call, a.status, a.body, status, want)
		return
	}
	if want != "" && strings.TrimSpace(a.body) != want {
		t.Errorf("%s: body %s, want %s", a.call, a.body, want)
	}
}

// refused demands a status with {"detail": detail} and exactly this WWW-Authenticate, "" for none.
func (a answer) refused(t *testing.T, status int, detail, challenge string) {
	t.Helper()
	a.is(t, status, `{"detail":"`+detail+`"}`)
	if got := strings.Join(a.header.Values("WWW-Authenticate"), " | "); got != challenge {
		t.Errorf("%s: %d with WWW-Authenticate %q, want %q", a.call, a.status, got, challenge)
	}
}

// says is refused with the standard text of the status.
func (a answer) says(t *testing.T, status int) {
	t.Helper()
	a.refused(t, status, http.StatusText(status), "")
}

// field is one entry of a 422.
type field struct {
	Loc  []string `json:"loc"`
	Msg  string   `json:"msg"`
	Type string   `json:"type"`
}

// fields reads a 422: a list of loc, msg and type, and nothing else.
func (a answer) fields(t *testing.T) []field {
	t.Helper()
	var body struct {
		Detail []field `json:"detail"`
	}
	decoder := json.NewDecoder(strings.NewReader(a.body))
	decoder.DisallowUnknownFields() // "input" above all: it would echo the request
	if err := decoder.Decode(&body); err != nil {
		t.Errorf("%s: %d, not a list of fields: %v: %s", a.call, a.status, err, a.body)
		return nil
	}
	if len(body.Detail) == 0 {
		t.Errorf("%s: %d names no field: %s", a.call, a.status, a.body)
	}
	for _, f := range body.Detail {
		if len(f.Loc) == 0 || f.Msg == "" || f.Type == "" {
			t.Errorf("%s: %d, a field lacks loc, msg or type: %s", a.call, a.status, a.body)
		}
	}
	return body.Detail
}

// invalid demands a 422 about exactly one field, at loc ("query limit").
func (a answer) invalid(t *testing.T, loc string) {
	t.Helper()
	if a.status != http.StatusUnprocessableEntity {
		t.Errorf("%s: %d %s, want 422 about %s", a.call, a.status, a.body, loc)
		return
	}
	if fields := a.fields(t); len(fields) != 1 || strings.Join(fields[0].Loc, " ") != loc {
		t.Errorf("%s: 422 %s, want one field at %s", a.call, a.body, loc)
	}
}

// decode reads the body into v.
func (a answer) decode(t *testing.T, v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(a.body), v); err != nil {
		t.Fatalf("%s: %d, the body is not the JSON expected: %v: %s", a.call, a.status, err, a.body)
	}
}

// post is a call with a JSON body.
func post(path, body string) call {
	return call{
		method: http.MethodPost, path: path, body: body,
		header: map[string]string{"Content-Type": "application/json"},
	}
}

// notStored demands the header that keeps answers of guarded routes out of caches.
func (a answer) notStored(t *testing.T) {
	t.Helper()
	if got := a.header.Get("Cache-Control"); got != "no-store" {
		t.Errorf("%s: %d with Cache-Control %q, want no-store", a.call, a.status, got)
	}
}
