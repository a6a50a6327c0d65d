package middleware

import (
	"bytes"
	"io"
	"net"
	"testing"

	"github.com/gofiber/fiber/v2"
)

// serveRaw serves requests as they are, on one connection, and returns when the last one is answered.
func serveRaw(t *testing.T, app *fiber.App, requests ...string) {
	t.Helper()
	app.Handler() // prepares the engine
	client, server := net.Pipe()
	served := make(chan error, 1)
	go func() { served <- app.Server().ServeConn(server) }()
	go func() { _, _ = io.Copy(io.Discard, client) }()
	for _, request := range requests {
		if _, err := io.WriteString(client, request+"\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
	}
	if err := client.Close(); err != nil {
		t.Fatal(err)
	}
	<-served
}

func TestRequestCarriesNothingToTheNext(t *testing.T) {
	var log bytes.Buffer
	const end = " HTTP/1.1\r\nHost: h"
	serveRaw(t, service(t, &log, nil), "BREW /good"+end, "GET /good"+end, "GET /nope"+end)
	got := lines(t, &log, "request")
	if len(got) != 3 || got[0]["method"] != "other" || got[1]["method"] != "GET" || got[1]["route"] != "/good" || got[2]["route"] != unrouted {
		t.Errorf("three requests on one connection: %v", got)
	}
}

// TestRequestCarriesTheFaultOfTheEngine: a body that is too large waits for routing.
func TestRequestCarriesTheFaultOfTheEngine(t *testing.T) {
	const end = " HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000000"
	for request, want := range map[string]float64{"GET /good": 413, "GET /fails": 413, "GET /nope": 404, "BREW /good": 405} {
		var log bytes.Buffer
		serveRaw(t, service(t, &log, nil), request+end)
		if got := lines(t, &log, "request"); len(got) != 1 || got[0]["status"] != want {
			t.Errorf("%s: %v, want %v", request, got, want)
		}
	}
}
