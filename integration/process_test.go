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

	"github.com/latchkey-api/latchkey/integration/harness"
)

// checkFirstStart: in an empty folder without settings the program generates its secrets, and the token that it prints works
// in the README's example.
func checkFirstStart(t *testing.T, bin string) {
	dir := t.TempDir()
	// Free ports, and the log format that WaitReady reads.
	env := map[string]string{"PORT": "0", "OPS_ADDR": "127.0.0.1:0", "LOG_FORMAT": "json"}

	_, stderr, code := harness.RunCommand(t, bin, dir, env, "token")
	if code != 1 || !strings.Contains(stderr, "run latchkey init first") {
		t.Errorf("token with nothing configured: exit code %d, %q", code, stderr)
	}
	p := harness.Launch(t, bin, dir, env)
	p.WaitReady(t)
	if !strings.Contains(p.Output.String(), "curl") {
		t.Error("the first start prints no curl line to paste")
	}
	file, err := os.Stat(dir + "/.env")
	if err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS != "windows" && file.Mode().Perm() != 0o600 {
		t.Errorf(".env has mode %v, want 0600", file.Mode())
	}
	token, stderr, code := harness.RunCommand(t, bin, dir, env, "token")
	if code != 0 {
		t.Fatalf("token: exit code %d, %s", code, stderr)
	}
	token = strings.TrimSpace(token)
	a := p.Do(t, harness.Call{Path: "/service/account/stevenm", Token: token})
	a.Is(t, http.StatusOK, `{"id":"2112","username":"stevenm"}`)
	a = p.Do(t, harness.Call{Path: "/service/account/stevenm"})
	a.IsRefused(t, http.StatusUnauthorized, "authorization header missing", `Bearer realm="latchkey"`)

	// A second start uses the same secrets.
	before, err := os.ReadFile(dir + "/.env")
	if err != nil {
		t.Fatal(err)
	}
	p.Stop(t)
	p = harness.Launch(t, bin, dir, env)
	p.WaitReady(t)
	p.Do(t, harness.Call{Path: "/service/whoami", Token: token}).Is(t, http.StatusOK, "")
	if after, err := os.ReadFile(dir + "/.env"); err != nil || string(after) != string(before) {
		t.Errorf("the second start changed .env: %v", err)
	}
}

// checkRestart: acknowledged accounts survive a stop and a kill.
func checkRestart(t *testing.T, bin string) {
	dir, s := t.TempDir(), harness.FreshSecrets()
	p := harness.StartProcessIn(t, bin, dir, s, nil)
	kept := p.Register(t, harness.Account{Username: harness.FreshName()})
	if code := p.Stop(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
	p = harness.StartProcessIn(t, bin, dir, s, nil)
	killed := p.Register(t, harness.Account{Username: harness.FreshName()})
	if err := p.Cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	p.Wait(t)
	p = harness.StartProcessIn(t, bin, dir, s, nil)
	for _, want := range []harness.Account{kept, killed} {
		var got harness.Account
		p.Do(t, harness.Call{Path: "/service/account/" + want.Username, Token: s.Token()}).Decode(t, &got)
		if got != want {
			t.Errorf("registered %+v, after a restart %+v", want, got)
		}
	}
}

// checkTwoProcesses: two processes on one store see each other's rows.
func checkTwoProcesses(t *testing.T, bin string) {
	dir, s := t.TempDir(), harness.FreshSecrets()
	one, two := harness.StartProcessIn(t, bin, dir, s, nil), harness.StartProcessIn(t, bin, dir, s, nil)
	for _, pair := range [][2]*harness.Process{{one, two}, {two, one}} {
		registered := pair[0].Register(t, harness.Account{Username: harness.FreshName()})
		var got harness.Account
		pair[1].Do(t, harness.Call{Path: "/service/account/" + registered.Username, Token: s.Token()}).Decode(t, &got)
		if got != registered {
			t.Errorf("registered %+v, the other process answers %+v", registered, got)
		}
	}
}

// checkSignals: SIGTERM and SIGINT end the program with exit code 0, and the port is closed.
func checkSignals(t *testing.T, bin string) {
	harness.NeedSignals(t)
	for _, sig := range []os.Signal{syscall.SIGTERM, os.Interrupt} {
		p := harness.StartProcess(t, bin, nil)
		p.Signal(t, sig)
		if code := p.Wait(t); code != 0 {
			t.Errorf("%v: exit code %d", sig, code)
		}
		if a, err := p.Try(t, harness.Call{Path: "/livez"}); err == nil {
			t.Errorf("%v: still answers: %d", sig, a.Status)
		}
	}
}

// checkDrain: during DRAIN_DELAY /readyz answers 503, other requests are served, and every answer closes its connection.
func checkDrain(t *testing.T, bin string) {
	harness.NeedSignals(t)
	const delay = 3 * time.Second
	p := harness.StartProcess(t, bin, map[string]string{"DRAIN_DELAY": delay.String()})
	before := p.Do(t, harness.Call{Path: "/livez"})
	if before.Closes {
		t.Error("Connection: close before the signal")
	}
	signalled := time.Now()
	p.Signal(t, syscall.SIGTERM)
	var ready harness.Answer
	harness.Eventually(t, delay, "/readyz is 503", func() bool {
		a, err := p.Try(t, harness.Call{Path: "/readyz", Unready: true})
		ready = a
		return err == nil && a.Status == http.StatusServiceUnavailable
	})
	answers := []harness.Answer{
		ready,
		p.Do(t, harness.Call{Path: "/livez"}),
		p.Do(t, harness.Call{Path: "/service/whoami", Token: p.Secrets.Token()}),
		p.Do(t, harness.Call{Path: "/service/whoami"}),
		p.Do(t, harness.Call{Path: "/nothing"}),
		p.Do(t, harness.Post("/service/account/register", `{}`)),
	}
	for i, status := range []int{503, 200, 200, 401, 404, 401} {
		if answers[i].Status != status || !answers[i].Closes {
			t.Errorf("%s: %d, closes %v; want %d and Connection: close", answers[i].Call, answers[i].Status, answers[i].Closes, status)
		}
	}
	p.OpsPage(t, "/metrics")
	if code := p.Wait(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if took := time.Since(signalled); took < delay {
		t.Errorf("ended after %s, before DRAIN_DELAY was over", took)
	}
}

// checkRequestUnderWay: a request that began before the signal is answered, and its write is kept.
func checkRequestUnderWay(t *testing.T, bin string) {
	harness.NeedSignals(t)
	dir, s := t.TempDir(), harness.FreshSecrets()
	p := harness.StartProcessIn(t, bin, dir, s, map[string]string{"DRAIN_DELAY": "1s"})
	name := harness.FreshName()
	body := `{"username":"` + name + `"}`
	conn := p.Dial(t)
	conn.Send(t, "POST /service/account/register HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"+
		"Authorization: Bearer "+s.Token()+"\r\nContent-Length: "+strconv.Itoa(len(body))+"\r\n\r\n"+body[:10])
	p.Signal(t, syscall.SIGTERM)
	harness.Eventually(t, harness.StartTimeout, "/readyz is 503", func() bool {
		a, err := p.Try(t, harness.Call{Path: "/readyz", Unready: true})
		return err == nil && a.Status == http.StatusServiceUnavailable
	})
	conn.Send(t, body[10:])
	a := conn.Receive(t, &p.Target, "register")
	if a.Status != http.StatusCreated || !a.Closes {
		t.Errorf("%d %s, closes %v; want 201 and Connection: close", a.Status, a.Body, a.Closes)
	}
	if code := p.Wait(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
	p = harness.StartProcessIn(t, bin, dir, s, nil)
	p.Do(t, harness.Call{Path: "/service/account/" + name, Token: s.Token()}).Is(t, http.StatusOK, strings.TrimSpace(a.Body))
}
