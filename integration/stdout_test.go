package integration

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/latchkey-api/latchkey/integration/harness"
)

// pipedProcess is the program with a pipe for standard output and error. The test decides how much of it is read.
type pipedProcess struct {
	*harness.Process

	pipe   *os.File
	reader *bufio.Reader
}

// startPiped starts the program and reads only the first line, which has the addresses.
func startPiped(t *testing.T, bin string) *pipedProcess {
	t.Helper()
	harness.NeedSignals(t)
	pipe, theirs, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pipe.Close() })
	dir, s := t.TempDir(), harness.FreshSecrets()
	p := harness.LaunchInto(t, theirs, bin, dir, harness.ProductionEnv(s, dir))
	p.Secrets = s
	_ = theirs.Close() // the program has it
	reader := bufio.NewReader(pipe)
	first, err := reader.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	_, _ = p.Output.Write([]byte(first))
	p.WaitReady(t)
	return &pipedProcess{p, pipe, reader}
}

// ask sends requests one after the other, with numbers in their request ids. Each must be answered.
func (p *pipedProcess) ask(t *testing.T, requests int) {
	t.Helper()
	token := p.Secrets.Token()
	for i := range requests {
		p.Do(t, harness.Call{Path: "/service/whoami", Token: token, Header: map[string]string{"X-Request-ID": "ask-" + strconv.Itoa(i)}}).Is(t, http.StatusOK, "")
	}
	p.Do(t, harness.Call{Path: "/readyz"}).Is(t, http.StatusOK, `{"status":"ok"}`)
	p.OpsPage(t, "/readyz")
}

// dropped is the program's metric of lost lines.
func (p *pipedProcess) dropped(t *testing.T) float64 {
	t.Helper()
	return harness.SumMetric(p.OpsPage(t, "/metrics"), "latchkey_log_lines_dropped_total")
}

// enough requests to fill a pipe with their lines.
const enough = 1000

// checkOutputGone: the reader of standard output ends, like a log shipper that restarts.
func checkOutputGone(t *testing.T, bin string) {
	p := startPiped(t, bin)
	_ = p.pipe.Close()
	p.ask(t, enough)
	harness.Eventually(t, harness.StartTimeout, "the lines that are lost are counted", func() bool { return p.dropped(t) >= enough })
	if code := p.Stop(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// checkOutputBlocked: the reader of standard output stops reading, but does not end.
func checkOutputBlocked(t *testing.T, bin string) {
	p := startPiped(t, bin)
	p.ask(t, enough)
	if code := p.Stop(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// checkOutputResumed: a reader that reads again in time gets every line in order, including the lines that are queued at the stop.
func checkOutputResumed(t *testing.T, bin string) {
	p := startPiped(t, bin)
	p.ask(t, enough)
	if dropped := p.dropped(t); dropped != 0 {
		t.Errorf("%v lines are lost, but the queue holds thousands", dropped)
	}
	lines := make(chan []string)
	go func() {
		text, _ := io.ReadAll(p.reader) // what is missing is seen below
		lines <- strings.SplitAfter(string(text), "\n")
	}()
	if code := p.Stop(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
	next, last := 0, ""
	for _, line := range <-lines {
		var fields struct {
			Msg string
			ID  string `json:"request_id"`
		}
		if line == "" {
			continue
		}
		if err := json.Unmarshal([]byte(line), &fields); err != nil || !strings.HasSuffix(line, "}\n") {
			t.Fatalf("a line is torn: %q: %v", line, err)
		}
		if fields.ID == "ask-"+strconv.Itoa(next) {
			next++
		}
		last = fields.Msg
	}
	if next != enough || last != "stopped" {
		t.Errorf("%d of %d lines in order, the last line is %q", next, enough, last)
	}
}
