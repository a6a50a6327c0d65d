package listener

import (
	"strings"
	"testing"
)

func TestOriginOfTheLatestRequest(t *testing.T) {
	const first = "GET / HTTP/1.1\r\nHost: x\r\n"
	long := strings.Repeat("c", 3*maxLine)
	tests := []struct{ name, text, want string }{
		{"as usual", first + "Origin: https://a.example\r\nA: b\r\n\r\n", "https://a.example"},
		{"any case, no spaces", first + "oRIGIN:https://a.example\r\n", "https://a.example"},
		{"bare line feeds", "GET / HTTP/1.1\nOrigin: https://a.example\n\n", "https://a.example"},
		{"behind a long line", first + "Cookie: " + long + "\r\nOrigin: https://a.example\r\n", "https://a.example"},
		{"no header", first + "\r\n", ""},
		{"not complete", first + "Origin: https://a.exam", ""},
		{"another header", first + "X-Origin: https://a.example\r\nOrigin-X: https://a.example\r\n", ""},
		{"in the body", first + "\r\nOrigin: https://a.example\r\n", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, piece := range []int{1, 7, len(tt.text)} {
				var notes originReader
				for rest := []byte(tt.text); len(rest) > 0; rest = rest[min(piece, len(rest)):] {
					notes.read(rest[:min(piece, len(rest))])
				}
				if notes.Origin() != tt.want || cap(notes.line) > 2*maxLine {
					t.Errorf("in pieces of %d: %q, want %q; %d bytes kept", piece, notes.Origin(), tt.want, cap(notes.line))
				}
				notes.wrote([]byte("HTTP/1.1 100 Continue\r\n\r\n"))
				if strings.HasSuffix(tt.text, "\r\n\r\n") {
					notes.read([]byte("Origin: https://b.example\r\n"))
				}
				if notes.Origin() != tt.want {
					t.Errorf("once the body may come: %q, want %q", notes.Origin(), tt.want)
				}
				notes.wrote([]byte("HTTP/1.1 200 OK\r\n"))
				if notes.Origin() != "" {
					t.Errorf("the next request has the Origin of this one: %q", notes.Origin())
				}
			}
		})
	}
}
