//go:build torture && linux

package integration

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
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
		{"bundle and document", []string{get(bundlePath, ""), get("/openapi.json", "")}},
		{"bundle, compressed", []string{get(bundlePath, "Accept-Encoding: gzip\r\n")}},
		{"page", []string{get("/docs", "")}},
		{"refusals, pipelined", []string{strings.Repeat(get("/nothing", ""), 1000)}},
		{"body of 64 KiB but for a byte", []string{"POST /nothing HTTP/1.1\r\nHost: x\r\nContent-Length: 65536\r\n\r\n" + strings.Repeat("a", 65535)}},
		{"body that is too large, not sent", []string{"POST /nothing HTTP/1.1\r\nHost: x\r\nContent-Length: 70000000\r\n\r\n"}},
		{"header of 16 KiB but for its end", []string{"GET / HTTP/1.1\r\nHost: x\r\nCookie: " + strings.Repeat("a", 16000)}},
	} {
		p := startProcess(t, bin, map[string]string{"ACCESS_LOG": "false"})
		p.do(t, call{path: bundlePath})
		before := p.memory(t, "VmRSS")
		var conns []net.Conn
		for i := range stalledReaders {
			conn := p.connect(t)
			_ = conn.SetWriteDeadline(time.Now().Add(100 * time.Millisecond)) // what does not fit is not sent
			_, _ = io.WriteString(conn, tt.requests[i%len(tt.requests)])
			conns = append(conns, conn)
		}
		most, began := before, time.Now()
		eventually(t, measureFor, "the time of measuring is over", func() bool {
			most = max(most, p.memory(t, "VmRSS"))
			return time.Since(began) > measureFor-time.Second
		})
		a, err := p.try(t, call{path: "/service/whoami", token: p.secrets.token()})
		tortureRow(t, fmt.Sprintf("%d connections stall: %s", stalledReaders, tt.name),
			fmt.Sprintf("less than %d MiB more, whoami 200", stalledCost>>10),
			fmt.Sprintf("%.1f MiB more (%.1f before), whoami %d %v", float64(most-before)/1024, float64(before)/1024, a.status, err),
			most-before < stalledCost && a.status == http.StatusOK)
		// Somebody who reads is served beside them.
		took, status := p.timed(bundlePath, 10*time.Second)
		tortureRow(t, "the bundle for somebody who reads, beside them", "200 within 2 s", fmt.Sprintf("%d in %v", status, took.Round(time.Millisecond)),
			status == http.StatusOK && took < 2*time.Second)
		for _, conn := range conns {
			_ = conn.Close()
		}
		p.stop(t)
	}
}

// TestTortureCostOfDocumentation: callers who load the documentation in a loop leave the guarded routes half of their
// rate. The server has a core of its own, and the callers another.
func TestTortureCostOfDocumentation(t *testing.T) {
	cores := allowedCores(t)
	if len(cores) < 2 {
		t.Skip("NOT TESTED: one core for the server and its callers says nothing")
	}
	bin := tortureBinary(t)
	pin(t, os.Getpid(), cores[1])
	defer pin(t, os.Getpid(), strings.Join(cores, ","))
	p := startProcess(t, bin, map[string]string{"ACCESS_LOG": "false"})
	pin(t, p.cmd.Process.Pid, cores[0])
	whoami := get("/service/whoami", "Authorization: "+p.secrets.token()+"\r\n")

	p.loops(t, whoami, whoamiCallers, time.Second) // it gets warm
	for _, tt := range []struct{ name, request string }{
		{"the bundle", get(bundlePath, "")},
		{"the bundle, compressed", get(bundlePath, "Accept-Encoding: gzip\r\n")},
		{"/openapi.json", get("/openapi.json", "")},
	} {
		alone := p.loops(t, whoami, whoamiCallers, measureFor)
		tortureRow(t, fmt.Sprintf("%d callers of whoami, alone", whoamiCallers), "all 200", alone.String(), alone.wrong() == 0)
		ctx, cancel := context.WithCancel(t.Context())
		var beside *counts
		var done sync.WaitGroup
		done.Go(func() { beside = p.loopsUntil(ctx, tt.request, bundleLoops) })
		during := p.loops(t, whoami, whoamiCallers, measureFor)
		cancel()
		done.Wait()
		share := during.perSecond() / alone.perSecond()
		tortureRow(t, fmt.Sprintf("%d callers of whoami beside %d of %s", whoamiCallers, bundleLoops, tt.name),
			"all 200, half of the rate or more", fmt.Sprintf("%s: %.0f %% (the others: %s)", during, 100*share, beside),
			during.wrong() == 0 && share >= 0.5 && beside.ok.Load() > 0)
	}
}

// get is a request for path, with more header lines.
func get(path, lines string) string {
	return "GET " + path + " HTTP/1.1\r\nHost: x\r\n" + lines + "\r\n"
}

// counts is what callers in a loop were answered.
type counts struct {
	ok, refused, failed atomic.Int64
	bytes               atomic.Int64
	took                time.Duration
}

func (c *counts) wrong() int64       { return c.refused.Load() + c.failed.Load() }
func (c *counts) perSecond() float64 { return float64(c.ok.Load()) / c.took.Seconds() }

func (c *counts) String() string {
	return fmt.Sprintf("%.0f/s, %.0f MB/s, %d refused, %d failed", c.perSecond(), float64(c.bytes.Load())/c.took.Seconds()/1e6,
		c.refused.Load(), c.failed.Load())
}

// loops sends request from so many connections, again and again, for a while.
func (p *process) loops(t *testing.T, request string, connections int, d time.Duration) *counts {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	return p.loopsUntil(ctx, request, connections)
}

func (p *process) loopsUntil(ctx context.Context, request string, connections int) *counts {
	result, began := &counts{}, time.Now()
	var all sync.WaitGroup
	for range connections {
		all.Go(func() {
			for ctx.Err() == nil {
				if err := p.loop(ctx, request, result); err != nil && ctx.Err() == nil {
					result.failed.Add(1)
				}
			}
		})
	}
	all.Wait()
	result.took = time.Since(began)
	return result
}

// loop uses one connection until it ends.
func (p *process) loop(ctx context.Context, request string, result *counts) error {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", strings.TrimPrefix(p.url, "http://"))
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Now()) })()
	reader := bufio.NewReaderSize(conn, 64<<10)
	for {
		if _, err := io.WriteString(conn, request); err != nil {
			return err
		}
		status, size, err := readAnswer(reader)
		if err != nil {
			return err
		}
		result.bytes.Add(int64(size))
		if status == http.StatusOK {
			result.ok.Add(1)
		} else {
			result.refused.Add(1)
		}
	}
}

// readAnswer takes one answer off the connection, with little work: http.ReadResponse would be the slower side.
func readAnswer(reader *bufio.Reader) (status, size int, err error) {
	for first := true; ; first = false {
		line, err := reader.ReadSlice('\n')
		if err != nil {
			return 0, 0, err
		}
		switch {
		case first:
			status, _ = strconv.Atoi(string(line[9:12]))
		case len(line) <= 2:
			_, err = reader.Discard(size)
			return status, size, err
		case len(line) > 16 && strings.EqualFold(string(line[:16]), "Content-Length: "):
			size, _ = strconv.Atoi(strings.TrimSpace(string(line[16:])))
		}
	}
}

// timed is how long one whole answer takes.
func (p *process) timed(path string, limit time.Duration) (time.Duration, int) {
	client, began := http.Client{Timeout: limit}, time.Now()
	resp, err := client.Get(p.url + path)
	if err != nil {
		return time.Since(began), 0
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return time.Since(began), 0
	}
	return time.Since(began), resp.StatusCode
}

func (p *process) connect(t *testing.T) net.Conn {
	t.Helper()
	return p.connectTo(t, p.url)
}

// memory is a line of the process's /proc/PID/status, in KiB.
func (p *process) memory(t *testing.T, name string) int {
	t.Helper()
	return procStatus(t, p.cmd.Process.Pid, name)
}

func procStatus(t *testing.T, pid int, name string) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	value, err := strconv.Atoi(firstMatch(t, string(text), `(?m)^`+name+`:\s+(\d+)`))
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// allowedCores are the cores that this process may use.
func allowedCores(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	var cores []string
	for part := range strings.SplitSeq(firstMatch(t, string(text), `(?m)^Cpus_allowed_list:\s+(\S+)`), ",") {
		from, to, isRange := strings.Cut(part, "-")
		if !isRange {
			to = from
		}
		first, _ := strconv.Atoi(from)
		last, _ := strconv.Atoi(to)
		for core := first; core <= last; core++ {
			cores = append(cores, strconv.Itoa(core))
		}
	}
	return cores
}

// pin keeps every thread of a process on the cores.
func pin(t *testing.T, pid int, cores string) {
	t.Helper()
	out, err := exec.Command("taskset", "--all-tasks", "--cpu-list", "--pid", cores, strconv.Itoa(pid)).CombinedOutput()
	if err != nil {
		unavailable(t, "taskset: %v: %s", err, out)
	}
}
