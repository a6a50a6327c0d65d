package integration

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/latchkey-api/latchkey/integration/harness"
)

// checkCORS: pages of the configured origins pass the preflight without a token; other pages do not.
func checkCORS(t *testing.T, bin string) {
	const origin = "https://app.example.com"
	p := harness.StartProcess(t, bin, map[string]string{"CORS_ORIGINS": "https://first.example.com," + origin})
	preflight := func(from string) harness.Answer {
		return p.Do(t, harness.Call{Method: http.MethodOptions, Path: "/service/account/stevenm", Header: map[string]string{
			"Origin": from, "Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "authorization",
		}})
	}
	a := preflight(origin)
	if a.Status/100 != 2 || a.Header.Get("Access-Control-Allow-Origin") != origin ||
		!strings.Contains(strings.ToLower(a.Header.Get("Access-Control-Allow-Headers")), "authorization") {
		t.Errorf("preflight: %d %v", a.Status, a.Header)
	}
	for _, from := range []string{"https://evil.example.com", "null", origin + ".evil.com", "http://app.example.com"} {
		if a := preflight(from); a.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("preflight of %s: allowed: %v", from, a.Header)
		}
	}
	for from, want := range map[string]string{origin: origin, "https://evil.example.com": ""} {
		for _, token := range []string{"", p.Secrets.Token()} {
			a := p.Do(t, harness.Call{Path: "/service/whoami", Token: token, Header: map[string]string{"Origin": from}})
			if got := a.Header.Get("Access-Control-Allow-Origin"); got != want {
				t.Errorf("%s, %d: Access-Control-Allow-Origin %q, want %q", from, a.Status, got, want)
			}
		}
	}
	checkCORSRefusals(t, p, origin)
}

// checkCORSRefusals: a page of a configured origin can read every refusal, also of malformed requests. Other pages cannot. No
// answer repeats the request.
func checkCORSRefusals(t *testing.T, p *harness.Process, origin string) {
	t.Helper()
	long := strings.Repeat("c", 17<<10)
	for request, status := range map[string]int{
		"GET /%zz HTTP/1.1\r\nHost: x\r\nORIGIN\r\n":                                    400,
		"GET / HTTP/1.1\r\nORIGIN\r\n":                                                  400,
		"GET / HTTP/1.1\r\nHost: x\r\nORIGIN\r\nHost: y\r\n":                            400,
		"GET / HTTP/1.1\r\nHost: x\r\nORIGIN\r\nA: b\x00c\r\n":                          400,
		"POST / HTTP/1.1\r\nHost: x\r\nORIGIN\r\nContent-Length: -1\r\n":                400,
		"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\nORIGIN\r\n":       400,
		"GET / HTTP/1.1\r\nHost: x\r\nORIGIN\r\nCookie: " + long + "\r\n":               431,
		"GET /nothing HTTP/1.1\r\nHost: x\r\nORIGIN\r\n":                                404,
		"GET /docs// HTTP/1.1\r\nHost: x\r\nORIGIN\r\n":                                 404,
		"BREW / HTTP/1.1\r\nHost: x\r\nORIGIN\r\n":                                      405,
		"POST /service/keys HTTP/1.1\r\nHost: x\r\nORIGIN\r\nContent-Length: 70000\r\n": 413,
		"GET /service/whoami HTTP/1.1\r\nHost: x\r\nORIGIN\r\n":                         401,
	} {
		for from, want := range map[string]string{origin: origin, "https://evil.example.com": "", "": ""} {
			conn, line := p.Dial(t), ""
			if from != "" {
				line = "Origin: " + from + "\r\nAccess-Control-Request-Headers: repeat-this\r\n"
			}
			conn.Send(t, strings.Replace(request, "ORIGIN\r\n", line, 1)+"\r\n")
			a := conn.Receive(t, &p.Target, fmt.Sprintf("%.60q from %q", request, from))
			if got := a.Header.Get("Access-Control-Allow-Origin"); a.Status != status || got != want || !varies(a, "Origin") {
				t.Errorf("%s: %d, want %d; Access-Control-Allow-Origin %q, want %q; Vary %q", a.Call, a.Status, status, got, want, a.Header.Values("Vary"))
			}
			if strings.Contains(fmt.Sprint(a.Header), "repeat-this") {
				t.Errorf("%s: the answer repeats the request: %v", a.Call, a.Header)
			}
		}
	}
	// A malformed request is no preflight.
	conn := p.Dial(t)
	conn.Send(t, "OPTIONS /%zz HTTP/1.1\r\nHost: x\r\nOrigin: "+origin+"\r\nAccess-Control-Request-Method: GET\r\n\r\n")
	conn.Receive(t, &p.Target, "a preflight with an invalid escape").IsError(t, http.StatusBadRequest)
}
