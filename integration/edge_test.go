package integration

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/latchkey-api/latchkey/integration/harness"
)

// checkEdge: an ambiguous or malformed request is refused in JSON and its connection closed. A proxy and the service can then
// never disagree on where a request ends.
func checkEdge(t *testing.T, tg *harness.Target) {
	harness.NeedLocal(t, tg)
	const smuggled = "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
	tests := []struct{ name, request string }{
		{"two lengths", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello" + smuggled},
		{"a list of lengths", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5, 6\r\n\r\nhello" + smuggled},
		{"a negative length", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n"},
		{"a length with a sign", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +5\r\n\r\nhello" + smuggled},
		{"a length that is not a number", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: five\r\n\r\nhello" + smuggled},
		{"xchunked", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + smuggled},
		{"chunked and more", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n" + smuggled},
		{"no Host", "GET / HTTP/1.1\r\n\r\n"},
		{"two Hosts", "GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n"},
		{"a space before the colon", "GET / HTTP/1.1\r\nHost: x\r\nAuthorization : x\r\n\r\n"},
		{"a NUL in a header", "GET / HTTP/1.1\r\nHost: x\r\nA: b\x00c\r\n\r\n"},
		{"no header at all", "hello\r\n\r\n"},
		{"TLS", "\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03\r\n\r\n"},
		{"HTTP/2", "GET / HTTP/2.0\r\nHost: x\r\n\r\n" + smuggled},
		{"HTTP/0.9 with a version", "GET / HTTP/0.9\r\nHost: x\r\n\r\n" + smuggled},
		{"an invalid escape", "GET /%zz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"},
	}
	for _, tt := range tests {
		conn := tg.Dial(t)
		conn.Send(t, tt.request)
		a := conn.Receive(t, tg, tt.name)
		a.IsError(t, http.StatusBadRequest)
		conn.Closed(t, tt.name)
	}

	// RFC 9112, 6.3: two lengths are refused, whatever the chunks hold. The bytes after them are never read as a request.
	for _, lines := range []string{"Transfer-Encoding: chunked\r\nContent-Length: 5", "content-length: 0\r\ntransfer-encoding: Chunked"} {
		for _, begin := range []string{"POST /", "POST /service/register", "GET /livez"} {
			for _, chunks := range []string{"0\r\n\r\n", "2\r\n{}\r\n0\r\n\r\n"} {
				conn := tg.Dial(t)
				about := begin + " with two lengths, " + strings.ReplaceAll(lines+" "+chunks, "\r\n", ", ")
				conn.Send(t, begin+" HTTP/1.1\r\nHost: x\r\n"+lines+"\r\n\r\n"+chunks+smuggled)
				conn.Receive(t, tg, about).IsError(t, http.StatusBadRequest)
				conn.Closed(t, about)
			}
		}
	}
	conn := tg.Dial(t)
	conn.Send(t, "GET /livez HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nX-Content-Length: 5\r\nConnection: close\r\n\r\n0\r\n\r\n")
	conn.Receive(t, tg, "a header with a similar name").Is(t, http.StatusOK, "")

	// A good request, sent in the same way, is answered.
	conn = tg.Dial(t)
	conn.Send(t, "GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	conn.Receive(t, tg, "a good request").Is(t, http.StatusOK, "")

	// HEAD has no body on the wire: after the header comes the next answer.
	conn = tg.Dial(t)
	conn.Send(t, "HEAD /nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	head, err := io.ReadAll(conn)
	if err != nil || !strings.HasPrefix(string(head), "HTTP/1.1 404 ") || !strings.HasSuffix(string(head), "\r\n\r\n") {
		t.Errorf("HEAD: %q, %v", head, err)
	}

	// A blank header; HTTP clients would send an empty one.
	conn = tg.Dial(t)
	conn.Send(t, "GET /service/whoami HTTP/1.1\r\nHost: x\r\nAuthorization:  \t \r\n\r\n")
	a := conn.Receive(t, tg, "a blank header")
	a.IsRefused(t, http.StatusUnauthorized, "authorization header missing", `Bearer realm="latchkey"`)
}

// checkHosts: both addresses want exactly one valid Host.
func checkHosts(t *testing.T, tg *harness.Target) {
	harness.NeedLocal(t, tg)
	addresses := map[string]*harness.Target{"the API": tg}
	if tg.OpsURL != "" {
		addresses["operations"] = &harness.Target{URL: tg.OpsURL}
	}
	for name, address := range addresses {
		for lines, want := range map[string]int{
			"Host: x": 200, "Host: x:8000": 200, "Host: x:": 200, "HOST:[::1]:80": 200, "Host: a_b.example": 200,

			"": 400, "Host:": 400, "Host: \t ": 400, "Host: :80": 400, "Host": 400, "Host : x": 400, "Host: x\r\nHost: x": 400,
			"Host: x\r\nHost: y": 400, "Host:\r\nHost: x": 400, "Host: a b": 400, "Host: a/b": 400, "Host: u@x": 400, "Host: x:y": 400,
			"Host: ::1": 400, "Host: []": 400, "Host: [::1": 400, "Host: a%zz": 400, "Host: a%41": 400, "Host: \u00e9": 400, `Host: a"b`: 400,
			"Host: <a>": 400, "Host: a\x00b": 400, "Host: x\r\n folded": 400,
		} {
			conn := address.Dial(t)
			if lines != "" {
				lines += "\r\n"
			}
			conn.Send(t, "GET /livez HTTP/1.1\r\n"+lines+"\r\n")
			answer, err := http.ReadResponse(conn.Reader, nil)
			if err != nil {
				t.Fatalf("%s, %q: %v", name, lines, err)
			}
			_ = answer.Body.Close()
			if answer.StatusCode != want {
				t.Errorf("%s, %q: %d, want %d", name, lines, answer.StatusCode, want)
			}
		}
	}
}

// checkSizes: what is too large is refused without reading it, and before the token is checked.
func checkSizes(t *testing.T, tg *harness.Target) {
	harness.NeedLocal(t, tg)
	conn := tg.Dial(t)
	conn.Send(t, "GET /service/whoami HTTP/1.1\r\nHost: x\r\nCookie: "+strings.Repeat("c", 17<<10)+"\r\n\r\n")
	conn.Receive(t, tg, "a header of 17 KiB").IsError(t, http.StatusRequestHeaderFieldsTooLarge)

	conn = tg.Dial(t)
	conn.Send(t, "GET /"+strings.Repeat("a", 17<<10)+" HTTP/1.1\r\nHost: x\r\n\r\n")
	conn.Receive(t, tg, "a path of 17 KiB").IsError(t, http.StatusRequestHeaderFieldsTooLarge)

	conn = tg.Dial(t)
	conn.Send(t, "GET /livez HTTP/1.1\r\nHost: x\r\nCookie: "+strings.Repeat("c", 12<<10)+"\r\n\r\n")
	conn.Receive(t, tg, "a header of 12 KiB").Is(t, http.StatusOK, "")

	for path := range bodyPaths {
		head := "POST " + path + " HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
		for _, announced := range []string{"65537", "10000000", "9223372036854775807", "99999999999999999999999"} {
			conn = tg.Dial(t)
			conn.Send(t, head+"Content-Length: "+announced+"\r\n\r\n")
			a := conn.Receive(t, tg, "a body of "+announced)
			if announced == "99999999999999999999999" && a.Status == http.StatusBadRequest {
				continue // not a valid length
			}
			a.IsError(t, http.StatusRequestEntityTooLarge)
		}

		conn = tg.Dial(t)
		chunk := strings.Repeat("a", 1<<10)
		conn.Send(t, head+"Transfer-Encoding: chunked\r\n\r\n")
		for range 65 {
			conn.Send(t, fmt.Sprintf("%x\r\n%s\r\n", len(chunk), chunk))
		}
		conn.Receive(t, tg, "chunks of 65 KiB").IsError(t, http.StatusRequestEntityTooLarge)

		// 64 KiB are allowed: the refusal is about what they say.
		holder, _ := tg.CredentialFor(designed["POST "+path])
		conn = tg.Dial(t)
		conn.Send(t, head+"Authorization: "+holder.Token()+"\r\nContent-Length: 65536\r\n\r\n"+strings.Repeat(" ", 1<<16))
		conn.Receive(t, tg, "64 KiB of spaces").Is(t, http.StatusUnprocessableEntity, "")
		conn = tg.Dial(t)
		conn.Send(t, head+"Content-Length: 65536\r\n\r\n"+strings.Repeat(" ", 1<<16))
		conn.Receive(t, tg, "64 KiB without token").IsRefused(t, http.StatusUnauthorized, "authorization header missing", `Bearer realm="latchkey"`)
	}
}

// checkRequestID: a valid request id is sent back; otherwise the service generates one.
func checkRequestID(t *testing.T, tg *harness.Target) {
	for _, id := range []string{"a", "abc-123._Z", strings.Repeat("x", 64), "0"} {
		for _, path := range []string{"/", "/nothing", "/service/whoami"} {
			a := tg.Do(t, harness.Call{Path: path, Header: map[string]string{"X-Request-ID": id}})
			if got := a.Header.Values("X-Request-Id"); len(got) != 1 || got[0] != id {
				t.Errorf("%s: X-Request-ID %q, want %q", a.Call, got, id)
			}
		}
	}
	seen := map[string]bool{}
	for _, id := range []string{
		"", strings.Repeat("x", 65), "a b", "a/b", `a"b`, "a;b", "a,b", "\u00e9", "a\tb", "<b>", "%41", "a:b", "a+b",
	} {
		a := tg.Do(t, harness.Call{Path: "/", Header: map[string]string{"X-Request-ID": id}})
		got := a.Header.Values("X-Request-Id")
		if len(got) != 1 || got[0] == id || seen[got[0]] {
			t.Errorf("X-Request-ID %q: answered %q, want a new one", id, got)
			continue
		}
		seen[got[0]] = true
	}
}
