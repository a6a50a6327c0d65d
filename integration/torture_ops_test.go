//go:build torture && linux

package integration

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/latchkey-api/latchkey/integration/harness"
)

// What strangers at the operations address, or anywhere else, may cost.
const (
	opsBody      = 1536 << 20 // bytes of a body that is sent there
	opsCost      = 16 << 10   // what it may add to the memory of the process, in KiB
	opsHeld      = 300        // connections that strangers hold there
	opsTooMuch   = 1 << 20    // KiB after which a test has seen enough
	probeTimeout = 2 * time.Second
	descriptors  = 256 // of a process with few of them
)

// TestTortureCostOfOpsBody: whatever is sent to the operations address, nobody keeps it.
func TestTortureCostOfOpsBody(t *testing.T) {
	bin := tortureBinary(t)
	for _, tt := range []struct{ name, head string }{
		{"with its length", fmt.Sprintf("GET /livez HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", opsBody)},
		{"chunked", fmt.Sprintf("GET /readyz HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n", opsBody)},
	} {
		p := harness.StartProcess(t, bin, nil)
		before := p.Memory(t, "VmRSS")
		conn := p.ConnectTo(t, p.OpsURL)
		_, _ = io.WriteString(conn, tt.head)
		most, sent := before, 0
		for chunk := make([]byte, 1<<20); sent < opsBody && most-before < opsTooMuch; sent += len(chunk) {
			_ = conn.SetWriteDeadline(time.Now().Add(15 * time.Second))
			if _, err := conn.Write(chunk); err != nil {
				break
			}
			most = max(most, p.Memory(t, "VmRSS"))
		}
		most = max(most, p.Memory(t, "VmHWM"))
		tortureRow(t, fmt.Sprintf("a body of %d MiB, %s, to OPS_ADDR", opsBody>>20, tt.name), fmt.Sprintf("less than %d MiB more", opsCost>>10),
			fmt.Sprintf("%.1f MiB more, %d MiB of the body were taken", float64(most-before)/1024, sent>>20), most-before < opsCost)
		p.Stop(t)
	}
}

// TestTortureCostOfOpsConnections: whatever strangers hold, a probe of either address is answered, also where the process
// has few descriptors.
func TestTortureCostOfOpsConnections(t *testing.T) {
	bin := tortureBinary(t)
	half := "GET /readyz HTTP/1.1\r\nHost:"
	for _, tt := range []struct {
		name, request string
		connections   int
		api           bool // to the API
	}{
		{name: "half-sent requests", request: half, connections: opsHeld},
		{name: "half-sent bodies", request: "GET /readyz HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12345", connections: opsHeld},
		{name: "connections that say nothing", connections: opsHeld},
		{name: "requests for /metrics that nobody reads", request: strings.Repeat("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", 1000), connections: opsHeld},
		{name: "half-sent requests to the API", request: half, connections: 4 * descriptors, api: true},
	} {
		p := startFew(t, bin)
		before := p.Memory(t, "VmRSS")
		address := p.OpsURL
		if tt.api {
			address = p.URL
		}
		for range tt.connections {
			conn := p.ConnectTo(t, address)
			_ = conn.SetWriteDeadline(time.Now().Add(100 * time.Millisecond)) // what does not fit is not sent
			_, _ = io.WriteString(conn, tt.request)
		}
		const times = 5
		ops, slowest := probeReady(p.OpsURL, times)
		seen, ok := fmt.Sprintf("OPS_ADDR %s, slowest %v", ops.text, slowest.Round(time.Millisecond)), ops.good == times
		if !tt.api { // who holds all of the API holds its probes, too
			api, took := probeReady(p.URL, times)
			seen, ok = fmt.Sprintf("%s; API %s, slowest %v", seen, api.text, took.Round(time.Millisecond)), ok && api.good == times
		}
		added := p.Memory(t, "VmHWM") - before
		tortureRow(t, fmt.Sprintf("%d %s, %d descriptors", tt.connections, tt.name, descriptors),
			fmt.Sprintf("5 of 5 probes, each within %v; less than %d MiB more", probeTimeout, stalledCost>>10),
			fmt.Sprintf("%s; %.1f MiB more", seen, float64(added)/1024), ok && added < stalledCost)
		p.Stop(t)
	}
}

// TestTortureCostOfOpsSlowness: a client that sends a byte a second, or does not read, is disconnected.
func TestTortureCostOfOpsSlowness(t *testing.T) {
	p := harness.StartProcess(t, tortureBinary(t), nil)
	for _, tt := range []struct {
		name, first, then string
		limit             time.Duration
	}{
		{"a header a byte a second", "GET /livez HTTP/1.1\r\nX-Slow: ", "x", 7 * time.Second},
		{"a body a byte a second", "GET /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n", "x", 7 * time.Second},
		{"no reading", strings.Repeat("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", 1000), "", 17 * time.Second},
	} {
		conn := p.ConnectTo(t, p.OpsURL)
		_ = conn.SetDeadline(time.Now().Add(100 * time.Millisecond))
		_, _ = io.WriteString(conn, tt.first)
		began, tick := time.Now(), time.NewTicker(time.Second)
		established := true
		for time.Since(began) < tt.limit+3*time.Second && established {
			<-tick.C
			_ = conn.SetDeadline(time.Now().Add(100 * time.Millisecond))
			_, _ = io.WriteString(conn, tt.then)
			established = hasItsEnd(t, conn)
		}
		tick.Stop()
		took := time.Since(began)
		tortureRow(t, "OPS_ADDR: "+tt.name, fmt.Sprintf("the connection ends within %v", tt.limit),
			fmt.Sprintf("held: %v, after %v", established, took.Round(time.Second)), !established && took <= tt.limit+time.Second)
	}
}

// TestTortureCostOfOpsFlood: a flood of connections to the operations address does not block the probes.
func TestTortureCostOfOpsFlood(t *testing.T) {
	bin := tortureBinary(t)
	for _, tt := range []struct {
		from string
		most int // probes that may fail
	}{{"127.0.0.2", 0}, {"127.0.0.1", 10}} { // a flood from the probes' own address cannot be told from them
		floodOps(t, bin, tt.from, tt.most)
	}
}

func floodOps(t *testing.T, bin, from string, mayFail int) {
	p := startFew(t, bin)
	dialer := net.Dialer{Timeout: time.Second, LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	stop := make(chan struct{})
	var all sync.WaitGroup
	var came [8]int
	for i := range came {
		all.Go(func() {
			for held := []net.Conn{}; ; came[i]++ {
				select {
				case <-stop:
					for _, conn := range held {
						_ = conn.Close()
					}
					return
				default:
				}
				conn, err := dialer.Dial("tcp", strings.TrimPrefix(p.OpsURL, "http://"))
				if err != nil {
					continue
				}
				_ = conn.(*net.TCPConn).SetLinger(0) // thousands of ports would wait for a minute each
				_, _ = io.WriteString(conn, "GET /readyz HTTP/1.1\r\nHost:")
				if held = append(held, conn); len(held) > 40 {
					_ = held[0].Close()
					held = held[1:]
				}
			}
		})
	}
	time.Sleep(time.Second) // the flood begins
	const times = 50
	ops, slowest := probeReady(p.OpsURL, times)
	api, apiSlowest := probeReady(p.URL, times)
	close(stop)
	all.Wait()
	sum := 0
	for _, n := range came {
		sum += n
	}
	tortureRow(t, fmt.Sprintf("8 strangers at %s open connections to OPS_ADDR in a loop, and hold 320 half-sent requests; the probes come from 127.0.0.1", from),
		fmt.Sprintf("%d of %d probes of OPS_ADDR, all of the API", times-mayFail, times),
		fmt.Sprintf("OPS_ADDR %s, slowest %v; API %s, slowest %v; %d connections", ops.text, slowest.Round(time.Millisecond), api.text,
			apiSlowest.Round(time.Millisecond), sum), ops.good >= times-mayFail && api.good == times)
	p.Stop(t)
}

// TestTortureCostOfMetrics: while clients load /metrics in a loop, the API keeps half of its rate.
func TestTortureCostOfMetrics(t *testing.T) {
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
	alone := p.Loops(t, whoami, whoamiCallers, measureFor)
	ctx, cancel := context.WithCancel(t.Context())
	var pages atomic.Int64
	var all sync.WaitGroup
	for range 48 {
		all.Go(func() {
			client := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableCompression: true}}
			defer client.CloseIdleConnections()
			for ctx.Err() == nil {
				req, _ := http.NewRequestWithContext(ctx, http.MethodGet, p.OpsURL+"/metrics", http.NoBody)
				if resp, err := client.Do(req); err == nil {
					_, _ = io.Copy(io.Discard, resp.Body)
					_ = resp.Body.Close()
					pages.Add(1)
				}
			}
		})
	}
	during := p.Loops(t, whoami, whoamiCallers, measureFor)
	cancel()
	all.Wait()
	share := during.PerSecond() / alone.PerSecond()
	tortureRow(t, fmt.Sprintf("%d callers of whoami beside 48 of /metrics", whoamiCallers), "all 200, half of the rate or more",
		fmt.Sprintf("%s, alone %s: %.0f %% (the others: %.0f/s)", during, alone, 100*share, float64(pages.Load())/during.Took.Seconds()),
		during.Wrong() == 0 && share >= 0.5 && pages.Load() > 0)
}

// startFew starts the program with few descriptors.
func startFew(t *testing.T, bin string) *harness.Process {
	t.Helper()
	dir, s := t.TempDir(), harness.FreshSecrets()
	absolute, err := filepath.Abs(bin)
	if err != nil {
		t.Fatal(err)
	}
	p := harness.Launch(t, "/bin/sh", dir, harness.ProductionEnv(s, dir), "-c", fmt.Sprintf(`ulimit -n %d; exec "$0"`, descriptors), absolute)
	p.Secrets = s
	p.WaitReady(t)
	return p
}

// probed are the results of probes.
type probed struct {
	text string
	good int // with 200, in time
}

// probeReady asks for /readyz, each time on a new connection.
func probeReady(url string, times int) (answers probed, slowest time.Duration) {
	last := ""
	for range times {
		client := http.Client{Timeout: probeTimeout, Transport: &http.Transport{DisableKeepAlives: true}}
		began := time.Now()
		resp, err := client.Get(url + "/readyz")
		slowest = max(slowest, time.Since(began))
		if err != nil {
			last = " (" + err.Error()[strings.LastIndex(err.Error(), ": ")+2:] + ")"
			continue
		}
		_ = resp.Body.Close()
		if resp.StatusCode == http.StatusOK {
			answers.good++
		} else {
			last = " (" + resp.Status + ")"
		}
	}
	answers.text = fmt.Sprintf("%d of %d probes%s", answers.good, times, last)
	return answers, slowest
}

// hasItsEnd reports whether the program still holds its end of a connection.
func hasItsEnd(t *testing.T, conn net.Conn) bool {
	t.Helper()
	table, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		t.Fatal(err)
	}
	ours, theirs := conn.LocalAddr().(*net.TCPAddr).Port, conn.RemoteAddr().(*net.TCPAddr).Port
	for line := range strings.Lines(string(table)) {
		fields := strings.Fields(line)
		if len(fields) > 9 && strings.HasSuffix(fields[1], fmt.Sprintf(":%04X", theirs)) && strings.HasSuffix(fields[2], fmt.Sprintf(":%04X", ours)) {
			return fields[9] != "0" // the inode: none once no process has it
		}
	}
	return false
}
