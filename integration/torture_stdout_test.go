//go:build torture && linux

package integration

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/latchkey-api/latchkey/integration/harness"
)

// The bounds for a reader of standard output that blocks or ends.
const (
	logRate     = 2000 // requests a second, each with a line
	logBlocked  = time.Minute
	logMemory   = 48 << 10 // KiB that lines which nobody reads may take
	stopTimeout = 3 * time.Second
)

// TestTortureStdoutGone: the reader of standard output goes away under load.
func TestTortureStdoutGone(t *testing.T) {
	p := startPiped(t, tortureBinary(t))
	_ = p.pipe.Close()
	load := p.load(t, 10*time.Second)
	dropped := p.lost(t)
	code, took := p.timedStop(t)
	tortureRow(t, fmt.Sprintf("standard output is closed, %d requests a second for 10 s", logRate),
		fmt.Sprintf("0 failed, every line counted, SIGTERM ends it with 0 within %v", stopTimeout),
		fmt.Sprintf("%s; %.0f lines counted; exit code %d after %v", load, dropped, code, took),
		load.clean() && dropped >= float64(load.sent.Load()) && code == 0 && took < stopTimeout)
}

// TestTortureStdoutBlocked: the reader of standard output stops reading for a minute, and is not there for the stop.
func TestTortureStdoutBlocked(t *testing.T) {
	p := startPiped(t, tortureBinary(t))
	before := p.Memory(t, "VmRSS")
	load := p.load(t, logBlocked)
	dropped, added := p.lost(t), p.Memory(t, "VmHWM")-before
	code, took := p.timedStop(t)
	tortureRow(t, fmt.Sprintf("nobody reads standard output, %d requests a second for %v", logRate, logBlocked),
		fmt.Sprintf("0 failed, lines counted, less than %d MiB more, SIGTERM ends it with 0 within %v", logMemory>>10, stopTimeout),
		fmt.Sprintf("%s; %.0f lines counted; %.1f MiB more; exit code %d after %v", load, dropped, float64(added)/1024, code, took),
		load.clean() && dropped > 0 && added < logMemory && code == 0 && took < stopTimeout)
}

// TestTortureStdoutResumed: the reader comes back after a minute. What it gets and what is counted are all the lines.
func TestTortureStdoutResumed(t *testing.T) {
	p := startPiped(t, tortureBinary(t))
	load := p.load(t, logBlocked)
	lines := p.readOn()
	after := p.load(t, 5*time.Second)
	dropped := p.lost(t)
	code, took := p.timedStop(t)
	got := <-lines
	sent := load.sent.Load() + after.sent.Load()
	tortureRow(t, fmt.Sprintf("nobody reads standard output for %v at %d requests a second, then somebody does", logBlocked, logRate),
		"0 failed; lines read and lines counted are the requests; the log says how many are missing; none is torn",
		fmt.Sprintf("%s; %d read + %.0f counted of %d; reported missing %d; %d torn; exit code %d after %v", load, got.requests, dropped, sent, got.missing, got.torn, code, took),
		load.clean() && after.clean() && float64(got.requests)+dropped == float64(sent) && float64(got.missing) == dropped && got.torn == 0 && code == 0)
}

// TestTortureStdoutStop: a stop writes what is queued.
func TestTortureStdoutStop(t *testing.T) {
	p := startPiped(t, tortureBinary(t))
	load := p.load(t, 5*time.Second) // less than the queue holds
	lines := p.readOn()
	code, took := p.timedStop(t)
	got := <-lines
	tortureRow(t, "nobody reads for 5 s; somebody does when SIGTERM comes", fmt.Sprintf("every line, the last is stopped, within %v", stopTimeout),
		fmt.Sprintf("%d lines of %d, the last is %q; exit code %d after %v", got.requests, load.sent.Load(), got.last, code, took),
		load.clean() && int64(got.requests) == load.sent.Load() && got.last == "stopped" && code == 0 && took < stopTimeout)
}

// TestTortureStdoutRefusals: a flood of bad tokens writes a hundred lines a second.
func TestTortureStdoutRefusals(t *testing.T) {
	const budget, late = 100, 10 // lines may be written a little later than they were allowed
	p := harness.StartProcess(t, tortureBinary(t), nil)
	refused := p.Loops(t, harness.GetRequest("/service/whoami", "Authorization: Bearer a.b.c\r\n"), 64, 10*time.Second)
	p.Stop(t)
	var times []time.Time
	for line := range strings.Lines(p.Output.String()) {
		var fields struct {
			Time   time.Time
			Status int
		}
		if json.Unmarshal([]byte(line), &fields) == nil && fields.Status == http.StatusUnauthorized {
			times = append(times, fields.Time)
		}
	}
	most := 0
	for first, last := 0, 0; last < len(times); last++ {
		for times[last].Sub(times[first]) >= time.Second {
			first++
		}
		most = max(most, last-first+1)
	}
	tortureRow(t, fmt.Sprintf("%.0f bad tokens a second for 10 s", float64(refused.Refused.Load())/refused.Took.Seconds()),
		fmt.Sprintf("at most %d lines in any second", budget), fmt.Sprintf("%d lines, at most %d in a second", len(times), most),
		most <= budget+late && len(times) >= budget)
}

// pacedLoad is what requests at a rate, and probes beside them, were answered.
type pacedLoad struct {
	sent, failed       atomic.Int64
	probes, unanswered atomic.Int64
	slowest            atomic.Int64 // of the probes, in ns
	took               time.Duration
}

func (l *pacedLoad) clean() bool {
	return l.failed.Load() == 0 && l.unanswered.Load() == 0 && float64(l.sent.Load())/l.took.Seconds() > 0.9*logRate
}

func (l *pacedLoad) String() string {
	return fmt.Sprintf("%d sent (%.0f/s), %d failed; %d of %d probes failed, slowest %v", l.sent.Load(), float64(l.sent.Load())/l.took.Seconds(),
		l.failed.Load(), l.unanswered.Load(), l.probes.Load(), time.Duration(l.slowest.Load()).Round(time.Millisecond))
}

// load sends logRate requests a second, and asks both addresses for their health twice a second.
func (p *pipedProcess) load(t *testing.T, d time.Duration) *pacedLoad {
	t.Helper()
	const callers = 32
	client := &http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: callers}}
	defer client.CloseIdleConnections()
	result, token, began := &pacedLoad{}, p.Secrets.Token(), time.Now()
	ask := func(url string) bool {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
		if err != nil {
			return false
		}
		req.Header.Set("Authorization", token)
		resp, err := client.Do(req)
		if err != nil {
			return false
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	}
	var all sync.WaitGroup
	for i := range callers {
		all.Go(func() {
			for n := i; ; n += callers {
				due := began.Add(time.Duration(n) * time.Second / logRate)
				if due.Sub(began) >= d || time.Since(began) >= d {
					return
				}
				time.Sleep(time.Until(due))
				result.sent.Add(1)
				if !ask(p.URL + "/service/whoami") {
					result.failed.Add(1)
				}
			}
		})
	}
	all.Go(func() {
		for time.Since(began) < d {
			time.Sleep(500 * time.Millisecond)
			for _, address := range []string{p.URL, p.OpsURL} {
				sent := time.Now()
				result.probes.Add(1)
				if !ask(address + "/readyz") {
					result.unanswered.Add(1)
				}
				result.slowest.Store(max(result.slowest.Load(), int64(time.Since(sent))))
			}
		}
	})
	all.Wait()
	result.took = time.Since(began)
	return result
}

// lost is the metric of lost lines, -1 where it cannot be read.
func (p *pipedProcess) lost(t *testing.T) float64 {
	t.Helper()
	client := &http.Client{Timeout: 2 * time.Second}
	resp, err := client.Get(p.OpsURL + "/metrics")
	if err != nil {
		return -1
	}
	defer resp.Body.Close()
	page, err := io.ReadAll(resp.Body)
	if err != nil || !strings.Contains(string(page), "latchkey_log_lines_dropped_total") {
		return -1
	}
	return harness.SumMetric(string(page), "latchkey_log_lines_dropped_total")
}

// timedStop ends the program, by force where it does not end.
func (p *pipedProcess) timedStop(t *testing.T) (code int, took time.Duration) {
	t.Helper()
	began := time.Now()
	p.Signal(t, syscall.SIGTERM)
	select {
	case <-p.Exited:
	case <-time.After(15 * time.Second):
		_ = p.Cmd.Process.Kill()
		<-p.Exited
	}
	return p.Cmd.ProcessState.ExitCode(), time.Since(began).Round(time.Millisecond)
}

// readLines is what came out of standard output.
type readLines struct {
	requests int // access lines of requests
	missing  int // lines that the log says to be missing
	torn     int
	last     string // the message of the last line
}

// readOn reads standard output from now on, to its end.
func (p *pipedProcess) readOn() <-chan readLines {
	result := make(chan readLines, 1)
	go func() {
		var got readLines
		for scanner := bufio.NewScanner(p.reader); scanner.Scan(); {
			var fields struct {
				Msg, Route string
				Count      int
			}
			if json.Unmarshal(scanner.Bytes(), &fields) != nil {
				got.torn++
			}
			if fields.Msg == "request" && fields.Route == "/service/whoami" {
				got.requests++
			}
			if fields.Msg == "log lines are missing here" {
				got.missing += fields.Count
			}
			got.last = fields.Msg
		}
		result <- got
	}()
	return result
}
