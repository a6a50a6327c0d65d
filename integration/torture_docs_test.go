//go:build torture && linux

package integration

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/latchkey-api/latchkey/integration/harness"
)

// What the open pages of the documentation may cost everybody else.
const (
	bundlePath = "/docs/swagger-ui-bundle.js"
	// stalledCost is what stalledReaders may add to the memory of the process, in KiB.
	stalledCost    = 64 << 10
	stalledReaders = 600
	bundleLoops    = 64
	whoamiCallers  = 32
	measureFor     = 5 * time.Second
)

// TestTortureCostOfStalledReaders: connections that ask for something large and never read it cost next to nothing.
func TestTortureCostOfStalledReaders(t *testing.T) {
	bin := tortureBinary(t)
	for _, tt := range []struct {
		name     string
		requests []string // sent by the connections in turn
	}{
		{"bundle and document", []string{harness.GetRequest(bundlePath, ""), harness.GetRequest("/openapi.json", "")}},
		{"bundle, compressed", []string{harness.GetRequest(bundlePath, "Accept-Encoding: gzip\r\n")}},
		{"page", []string{harness.GetRequest("/docs", "")}},
		{"refusals, pipelined", []string{strings.Repeat(harness.GetRequest("/nothing", ""), 1000)}},
		{"body of 64 KiB but for a byte", []string{"POST /nothing HTTP/1.1\r\nHost: x\r\nContent-Length: 65536\r\n\r\n" + strings.Repeat("a", 65535)}},
		{"body that is too large, not sent", []string{"POST /nothing HTTP/1.1\r\nHost: x\r\nContent-Length: 70000000\r\n\r\n"}},
		{"header of 16 KiB but for its end", []string{"GET / HTTP/1.1\r\nHost: x\r\nCookie: " + strings.Repeat("a", 16000)}},
	} {
		p := harness.StartProcess(t, bin, map[string]string{"ACCESS_LOG": "false"})
		p.Do(t, harness.Call{Path: bundlePath})
		before := p.Memory(t, "VmRSS")
		var conns []net.Conn
		for i := range stalledReaders {
			conn := p.Connect(t)
			_ = conn.SetWriteDeadline(time.Now().Add(100 * time.Millisecond)) // what does not fit is not sent
			_, _ = io.WriteString(conn, tt.requests[i%len(tt.requests)])
			conns = append(conns, conn)
		}
		most, began := before, time.Now()
		harness.Eventually(t, measureFor, "the time of measuring is over", func() bool {
			most = max(most, p.Memory(t, "VmRSS"))
			return time.Since(began) > measureFor-time.Second
		})
		a, err := p.Try(t, harness.Call{Path: "/service/whoami", Token: p.Secrets.Token()})
		tortureRow(t, fmt.Sprintf("%d connections stall: %s", stalledReaders, tt.name),
			fmt.Sprintf("less than %d MiB more, whoami 200", stalledCost>>10),
			fmt.Sprintf("%.1f MiB more (%.1f before), whoami %d %v", float64(most-before)/1024, float64(before)/1024, a.Status, err),
			most-before < stalledCost && a.Status == http.StatusOK)
		// Somebody who reads is served beside them.
		took, status := timedAnswer(p, bundlePath, 10*time.Second)
		tortureRow(t, "the bundle for somebody who reads, beside them", "200 within 2 s", fmt.Sprintf("%d in %v", status, took.Round(time.Millisecond)),
			status == http.StatusOK && took < 2*time.Second)
		for _, conn := range conns {
			_ = conn.Close()
		}
		p.Stop(t)
	}
}

// TestTortureCostOfDocumentation: callers who load the documentation in a loop leave the guarded routes half of their
// rate. The server has a core of its own, and the callers another.
func TestTortureCostOfDocumentation(t *testing.T) {
	cores := harness.AllowedCores(t)
	if len(cores) < 2 {
		t.Skip("NOT TESTED: one core for the server and its callers says nothing")
	}
	bin := tortureBinary(t)
	harness.Pin(t, os.Getpid(), cores[1])
	defer harness.Pin(t, os.Getpid(), strings.Join(cores, ","))
	p := harness.StartProcess(t, bin, map[string]string{"ACCESS_LOG": "false"})
	harness.Pin(t, p.Cmd.Process.Pid, cores[0])
	whoami := harness.GetRequest("/service/whoami", "Authorization: "+p.Secrets.Token()+"\r\n")

	p.Loops(t, whoami, whoamiCallers, time.Second) // it gets warm
	for _, tt := range []struct{ name, request string }{
		{"the bundle", harness.GetRequest(bundlePath, "")},
		{"the bundle, compressed", harness.GetRequest(bundlePath, "Accept-Encoding: gzip\r\n")},
		{"/openapi.json", harness.GetRequest("/openapi.json", "")},
	} {
		alone := p.Loops(t, whoami, whoamiCallers, measureFor)
		tortureRow(t, fmt.Sprintf("%d callers of whoami, alone", whoamiCallers), "all 200", alone.String(), alone.Wrong() == 0)
		ctx, cancel := context.WithCancel(t.Context())
		var beside *harness.LoopCounts
		var done sync.WaitGroup
		done.Go(func() { beside = p.LoopsUntil(ctx, tt.request, bundleLoops) })
		during := p.Loops(t, whoami, whoamiCallers, measureFor)
		cancel()
		done.Wait()
		share := during.PerSecond() / alone.PerSecond()
		tortureRow(t, fmt.Sprintf("%d callers of whoami beside %d of %s", whoamiCallers, bundleLoops, tt.name),
			"all 200, half of the rate or more", fmt.Sprintf("%s: %.0f %% (the others: %s)", during, 100*share, beside),
			during.Wrong() == 0 && share >= 0.5 && beside.OK.Load() > 0)
	}
}

// timedAnswer is how long one whole answer takes.
func timedAnswer(p *harness.Process, path string, limit time.Duration) (time.Duration, int) {
	client, began := http.Client{Timeout: limit}, time.Now()
	resp, err := client.Get(p.URL + path)
	if err != nil {
		return time.Since(began), 0
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return time.Since(began), 0
	}
	return time.Since(began), resp.StatusCode
}
