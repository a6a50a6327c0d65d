package middleware

import (
	"bytes"
	"io"
	"net"
	"testing"
)

func TestRequestCarriesNothingToTheNext(t *testing.T) {
	var log bytes.Buffer
	app := service(t, &log, nil)
	app.Handler() // prepares the engine
	client, server := net.Pipe()
	served := make(chan error, 1)
	go func() { served <- app.Server().ServeConn(server) }()
	go func() { _, _ = io.Copy(io.Discard, client) }()
	for _, line := range []string{"BREW /good", "GET /good", "GET /nope"} {
		if _, err := io.WriteString(client, line+" HTTP/1.1\r\nHost: h\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
	}
	if err := client.Close(); err != nil {
		t.Fatal(err)
	}
	<-served
	got := lines(t, &log, "request")
	if len(got) != 3 || got[0]["method"] != "other" || got[1]["method"] != "GET" || got[1]["route"] != "/good" || got[2]["route"] != unrouted {
		t.Errorf("three requests on one connection: %v", got)
	}
}
