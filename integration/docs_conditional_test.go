package integration

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/latchkey-api/latchkey/integration/harness"
)

// docsFiles are the files of the documentation, and whether each is compressed for clients that accept gzip.
var docsFiles = map[string]bool{
	"/docs":                       true,
	"/openapi.json":               true,
	"/docs/swagger-ui.css":        true,
	"/docs/swagger-ui-bundle.js":  true,
	"/docs/favicon-32x32.png":     false,
	"/docs/swagger-ui-bundle.js/": true,
}

// strongTag is a strong entity tag (RFC 9110, section 8.8.3).
var strongTag = regexp.MustCompile(`^"[\x21\x23-\x7e]+"$`)

// checkConditional: each file of the documentation has an ETag, and If-None-Match with it gets 304. Plain and compressed forms
// have different tags and the same text.
func checkConditional(t *testing.T, tg *harness.Target) {
	for path, compressed := range docsFiles {
		plain := tg.Do(t, harness.Call{Path: path})
		plain.Is(t, http.StatusOK, "")
		zipped := tg.Do(t, harness.Call{Path: path, Header: map[string]string{"Accept-Encoding": "br, gzip"}})
		zipped.Is(t, http.StatusOK, "")
		tag := plain.Header.Get("ETag")
		for _, a := range []harness.Answer{plain, zipped} {
			if !strongTag.MatchString(a.Header.Get("ETag")) {
				t.Errorf("%s: ETag %s", path, a.Header.Get("ETag"))
			}
			if got := varies(a, "Accept-Encoding"); got != compressed {
				t.Errorf("%s: Vary %q", path, a.Header.Values("Vary"))
			}
		}
		if encoding := plain.Header.Get("Content-Encoding"); encoding != "" {
			t.Errorf("%s: Content-Encoding %s without Accept-Encoding", path, encoding)
		}
		if got := zipped.Header.Get("Content-Encoding") == "gzip"; got != compressed {
			t.Errorf("%s: Content-Encoding %q", path, zipped.Header.Get("Content-Encoding"))
		}
		if compressed {
			if zipped.Header.Get("ETag") == tag {
				t.Errorf("%s: one tag for two forms", path)
			}
			if unzipped(t, zipped.Body) != plain.Body {
				t.Errorf("%s: the compressed form is another text", path)
			}
		}
		for _, form := range []harness.Answer{plain, zipped} {
			tag, encoding := form.Header.Get("ETag"), "identity"
			if form.Header.Get("Content-Encoding") != "" {
				encoding = "gzip"
			}
			for value, status := range map[string]int{
				tag: 304, "W/" + tag: 304, `"x", ` + tag: 304, tag + `,"x"`: 304, "*": 304,
				`"x"`: 200, strings.Trim(tag, `"`): 200, `"x, ` + strings.Trim(tag, `"`) + `"`: 200, "": 200,
			} {
				a := tg.Do(t, harness.Call{Path: path, Header: map[string]string{"If-None-Match": value, "Accept-Encoding": encoding}})
				if a.Status != status {
					t.Errorf("%s, %s, If-None-Match %s: %d, want %d", path, encoding, value, a.Status, status)
				}
				if a.Header.Get("ETag") != tag || a.Status == 304 && (a.Body != "" || varies(a, "Accept-Encoding") != compressed) {
					t.Errorf("%s, %s, If-None-Match %s: %d with %v", path, encoding, value, a.Status, a.Header)
				}
			}
			head := tg.Do(t, harness.Call{Method: http.MethodHead, Path: path, Header: map[string]string{"Accept-Encoding": encoding}})
			if got := head.Header.Get("Content-Length"); head.Status != 200 || got != strconv.Itoa(len(form.Body)) || head.Header.Get("ETag") != tag {
				t.Errorf("HEAD %s, %s: %d, Content-Length %s, GET sent %d bytes", path, encoding, head.Status, got, len(form.Body))
			}
		}
	}
}

// varies reports whether Vary names a header.
func varies(a harness.Answer, name string) bool {
	for _, line := range a.Header.Values("Vary") {
		for member := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(strings.TrimSpace(member), name) {
				return true
			}
		}
	}
	return false
}

func unzipped(t *testing.T, body string) string {
	t.Helper()
	reader, err := gzip.NewReader(strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	if _, err := io.Copy(&text, reader); err != nil {
		t.Fatal(err)
	}
	return text.String()
}

// checkConditionalRaw: If-None-Match may have several lines, and the connection can be used after a 304 and after HEAD.
func checkConditionalRaw(t *testing.T, tg *harness.Target) {
	harness.NeedLocal(t, tg)
	tag := tg.Do(t, harness.Call{Path: "/openapi.json"}).Header.Get("ETag")
	conn := tg.Dial(t)
	for _, lines := range []string{
		"If-None-Match: \"x\"\r\nIf-None-Match: " + tag + "\r\n",
		"If-None-Match: " + tag + "\r\nIf-None-Match: \"x\"\r\n",
		"If-None-Match: \"x\", \"y\"\r\nIf-None-Match: W/" + tag + ", \"z\"\r\n",
	} {
		conn.Send(t, "GET /openapi.json HTTP/1.1\r\nHost: x\r\n"+lines+"\r\n")
		a := conn.Receive(t, tg, lines)
		a.Is(t, http.StatusNotModified, "")
		if length := a.Header.Get("Content-Length"); length != "" && length != "0" {
			t.Errorf("304 with Content-Length %s", length)
		}
	}
	conn.Send(t, "HEAD /docs/swagger-ui-bundle.js HTTP/1.1\r\nHost: x\r\n\r\nGET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	head, err := io.ReadAll(conn.Reader)
	_, next, _ := strings.Cut(string(head), "\r\n\r\n")
	if err != nil || !strings.HasPrefix(string(head), "HTTP/1.1 200 ") || !strings.HasPrefix(next, "HTTP/1.1 200 ") {
		t.Errorf("HEAD is not followed by the next answer: %.300q, %v", head, err)
	}
}
