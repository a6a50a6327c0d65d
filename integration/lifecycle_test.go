package integration

import (
	"net/http"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// checkFirstStart: in an empty folder with nothing set, the program makes its own secrets, and the token that it prints
// opens the example of the README.
func checkFirstStart(t *testing.T, bin string) {
	dir := t.TempDir()
	// Only what keeps two test runs apart, and the log in the form that waitReady reads.
	env := map[string]string{"PORT": "0", "OPS_ADDR": "127.0.0.1:0", "LOG_FORMAT": "json"}

	_, stderr, code := command(t, bin, dir, env, "token")
	if code != 1 || !strings.Contains(stderr, "run latchkey init first") {
		t.Errorf("token with nothing configured: exit code %d, %q", code, stderr)
	}
	p := launch(t, bin, dir, env)
	p.waitReady(t)
	if !strings.Contains(p.output.String(), "curl") {
		t.Error("the first start prints no curl line to paste")
	}
	file, err := os.Stat(dir + "/.env")
	if err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS != "windows" && file.Mode().Perm() != 0o600 {
		t.Errorf(".env has mode %v, want 0600", file.Mode())
	}
	token, stderr, code := command(t, bin, dir, env, "token")
	if code != 0 {
		t.Fatalf("token: exit code %d, %s", code, stderr)
	}
	token = strings.TrimSpace(token)
	a := p.do(t, call{path: "/service/account/stevenm", token: token})
	a.is(t, http.StatusOK, `{"id":"2112","username":"stevenm"}`)
	a = p.do(t, call{path: "/service/account/stevenm"})
	a.refused(t, http.StatusUnauthorized, "authorization header missing", `Bearer realm="latchkey"`)

	// A second start uses the same secrets.
	before, err := os.ReadFile(dir + "/.env")
	if err != nil {
		t.Fatal(err)
	}
	p.stop(t)
	p = launch(t, bin, dir, env)
	p.waitReady(t)
	p.do(t, call{path: "/service/whoami", token: token}).is(t, http.StatusOK, "")
	if after, err := os.ReadFile(dir + "/.env"); err != nil || string(after) != string(before) {
		t.Errorf("the second start changed .env: %v", err)
	}
}

// checkRestart: what was acknowledged is there after the program ends, also when it ends without warning.
func checkRestart(t *testing.T, bin string) {
	dir, s := t.TempDir(), freshSecrets()
	p := startProcessIn(t, bin, dir, s, nil)
	kept := p.register(t, account{Username: freshName()})
	if code := p.stop(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
	p = startProcessIn(t, bin, dir, s, nil)
	killed := p.register(t, account{Username: freshName()})
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	p.wait(t)
	p = startProcessIn(t, bin, dir, s, nil)
	for _, want := range []account{kept, killed} {
		var got account
		p.do(t, call{path: "/service/account/" + want.Username, token: s.token()}).decode(t, &got)
		if got != want {
			t.Errorf("registered %+v, after a restart %+v", want, got)
		}
	}
}

// checkTwoProcesses: two processes on one store see each other's rows.
func checkTwoProcesses(t *testing.T, bin string) {
	dir, s := t.TempDir(), freshSecrets()
	one, two := startProcessIn(t, bin, dir, s, nil), startProcessIn(t, bin, dir, s, nil)
	for _, pair := range [][2]*process{{one, two}, {two, one}} {
		registered := pair[0].register(t, account{Username: freshName()})
		var got account
		pair[1].do(t, call{path: "/service/account/" + registered.Username, token: s.token()}).decode(t, &got)
		if got != registered {
			t.Errorf("registered %+v, the other process answers %+v", registered, got)
		}
	}
}

// checkSignals: both ways to ask a program to end are a success, and the port is closed.
func checkSignals(t *testing.T, bin string) {
	needSignals(t)
	for _, sig := range []os.Signal{syscall.SIGTERM, os.Interrupt} {
		p := startProcess(t, bin, nil)
		p.signal(t, sig)
		if code := p.wait(t); code != 0 {
			t.Errorf("%v: exit code %d", sig, code)
		}
		if a, err := p.try(t, call{path: "/livez"}); err == nil {
			t.Errorf("%v: still answers: %d", sig, a.status)
		}
	}
}

// checkDrain: between the signal and the end, load balancers see that they should go elsewhere, and nobody is cut off.
func checkDrain(t *testing.T, bin string) {
	needSignals(t)
	const delay = 3 * time.Second
	p := startProcess(t, bin, map[string]string{"DRAIN_DELAY": delay.String()})
	before := p.do(t, call{path: "/livez"})
	if before.closes {
		t.Error("Connection: close before the signal")
	}
	signalled := time.Now()
	p.signal(t, syscall.SIGTERM)
	var ready answer
	eventually(t, delay, "/readyz is 503", func() bool {
		a, err := p.try(t, call{path: "/readyz", unready: true})
		ready = a
		return err == nil && a.status == http.StatusServiceUnavailable
	})
	answers := []answer{
		ready,
		p.do(t, call{path: "/livez"}),
		p.do(t, call{path: "/service/whoami", token: p.secrets.token()}),
		p.do(t, call{path: "/service/whoami"}),
		p.do(t, call{path: "/nothing"}),
		p.do(t, post("/service/account/register", `{}`)),
	}
	for i, status := range []int{503, 200, 200, 401, 404, 401} {
		if answers[i].status != status || !answers[i].closes {
			t.Errorf("%s: %d, closes %v; want %d and Connection: close", answers[i].call, answers[i].status, answers[i].closes, status)
		}
	}
	p.opsPage(t, "/metrics")
	if code := p.wait(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if took := time.Since(signalled); took < delay {
		t.Errorf("ended after %s, before DRAIN_DELAY was over", took)
	}
}

// checkRequestUnderWay: a request that has begun when the signal comes is answered, and what it wrote is kept.
func checkRequestUnderWay(t *testing.T, bin string) {
	needSignals(t)
	dir, s := t.TempDir(), freshSecrets()
	p := startProcessIn(t, bin, dir, s, map[string]string{"DRAIN_DELAY": "1s"})
	name := freshName()
	body := `{"username":"` + name + `"}`
	conn := p.dial(t)
	conn.send(t, "POST /service/account/register HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"+
		"Authorization: Bearer "+s.token()+"\r\nContent-Length: "+strconv.Itoa(len(body))+"\r\n\r\n"+body[:10])
	p.signal(t, syscall.SIGTERM)
	eventually(t, startLimit, "/readyz is 503", func() bool {
		a, err := p.try(t, call{path: "/readyz", unready: true})
		return err == nil && a.status == http.StatusServiceUnavailable
	})
	conn.send(t, body[10:])
	a := conn.receive(t, &p.target, "register")
	if a.status != http.StatusCreated || !a.closes {
		t.Errorf("%d %s, closes %v; want 201 and Connection: close", a.status, a.body, a.closes)
	}
	if code := p.wait(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
	p = startProcessIn(t, bin, dir, s, nil)
	p.do(t, call{path: "/service/account/" + name, token: s.token()}).is(t, http.StatusOK, strings.TrimSpace(a.body))
}
