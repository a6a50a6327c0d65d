package integration

import (
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/latchkey-api/latchkey/integration/harness"
)

// TestHAProxy tests deploy/haproxy.cfg with a real HAProxy and two instances on one database.
func TestHAProxy(t *testing.T) {
	if runtime.GOOS != "linux" {
		harness.Unavailable(t, "the proxy is tested on Linux only, where all of 127.0.0.0/8 is local")
	}
	if _, err := exec.LookPath("haproxy"); err != nil {
		harness.Unavailable(t, "the proxy's configuration was not tested: %v", err)
	}
	f := newFleet(t)
	for _, tt := range []struct {
		name  string
		check func(*testing.T, *fleet)
	}{
		{"spread", checkSpread},
		{"answers unchanged", checkPassing},
		{"forged address", checkForgedAddress},
		{"POST sent once", checkSentOnce},
		{"instance that stops", checkLeftInTime},
		{"rolling restart", checkRollingRestart},
		{"no instance", checkNoInstance},
	} {
		t.Run(tt.name, func(t *testing.T) { tt.check(t, f) })
	}
}

// fleet is two instances behind a proxy.
type fleet struct {
	bin       string
	secrets   harness.Secrets
	settings  map[string]string
	instances [2]*harness.Process
	proxy     *harness.Target
}

func newFleet(t *testing.T) *fleet {
	t.Helper()
	databaseURL, _ := harness.NewDatabase(t)
	f := &fleet{bin: harness.BuildBinary(t), secrets: harness.FreshSecrets(), settings: map[string]string{
		"DATABASE_URL": databaseURL, "TRUSTED_PROXIES": "127.0.0.1", "DRAIN_DELAY": "2s",
	}}
	f.start(t, 0, map[string]string{"DRAIN_DELAY": "12s"}) // for checkLeftInTime
	f.start(t, 1, nil)
	f.proxy = harness.StartHAProxy(t, f.instances[0].URL, f.instances[1].URL)
	f.proxy.Secrets = f.secrets
	return f
}

// start starts an instance with more settings; after a stop, at its old address.
func (f *fleet) start(t *testing.T, i int, settings map[string]string) {
	t.Helper()
	all := maps.Clone(f.settings)
	maps.Copy(all, settings)
	if before := f.instances[i]; before != nil {
		_, all["PORT"], _ = net.SplitHostPort(strings.TrimPrefix(before.URL, "http://"))
	}
	f.instances[i] = harness.StartProcessIn(t, f.bin, t.TempDir(), f.secrets, all)
}

// served is the number of whoami requests in an instance's log.
func served(p *harness.Process) int {
	return strings.Count(p.Output.String(), `"route":"/service/whoami"`)
}

func (f *fleet) whoami(t *testing.T) {
	t.Helper()
	f.proxy.Do(t, harness.Call{Path: "/service/whoami", Token: f.secrets.Token()}).Is(t, http.StatusOK, "")
}

func checkSpread(t *testing.T, f *fleet) {
	harness.Eventually(t, harness.StartTimeout, "both instances get requests", func() bool {
		f.whoami(t)
		return served(f.instances[0]) > 2 && served(f.instances[1]) > 2
	})
}

// checkPassing: through the proxy every answer has the same status, headers and body.
func checkPassing(t *testing.T, f *fleet) {
	long := func(n int) map[string]string { return map[string]string{"X-Filler": strings.Repeat("x", n)} }
	tests := []struct {
		c      harness.Call
		status int
	}{
		{harness.Call{Path: "/service/whoami"}, 401},
		{harness.Call{Path: "/service/whoami", Token: f.secrets.JWT(f.secrets.Good().With("aud", "other"))}, 401},
		{harness.Call{Path: "/service/account/stevenm", Token: f.secrets.Scoped("")}, 403},
		{harness.Call{Path: "/service/account/stevenm", Token: f.secrets.Token()}, 200},
		{harness.Call{Path: "/service/account/" + harness.FreshName(), Token: f.secrets.Token()}, 404},
		{harness.Call{Path: "/service/account/a%2Fb", Token: f.secrets.Token()}, 404},
		{harness.Call{Path: "/service/account/", Token: f.secrets.Token()}, 422},
		{harness.Call{Method: http.MethodDelete, Path: "/service/whoami"}, 405},
		{harness.Post("/service/account/register", strings.Repeat("x", 70_000)), 413},
		{harness.Call{Path: "/", Header: long(15 << 10)}, 200},
		{harness.Call{Path: "/", Header: long(20 << 10)}, 431},
		{harness.Call{Method: http.MethodHead, Path: "/docs"}, 200},
	}
	for _, tt := range tests {
		header := map[string]string{"X-Request-ID": harness.FreshName()}
		maps.Copy(header, tt.c.Header)
		tt.c.Header = header
		direct, through := f.instances[0].Do(t, tt.c), f.proxy.Do(t, tt.c)
		for _, a := range []harness.Answer{direct, through} {
			a.Header.Del("Date")
			if a.Status == http.StatusRequestHeaderFieldsTooLarge {
				a.Header.Del("X-Request-Id") // the instance did not read the header
			}
		}
		if through.Status != tt.status || through.Body != direct.Body || fmt.Sprint(through.Header) != fmt.Sprint(direct.Header) {
			t.Errorf("%s: want %d\ndirect:  %d %v %s\nthrough: %d %v %s", direct.Call, tt.status,
				direct.Status, direct.Header, direct.Body, through.Status, through.Header, through.Body)
		}
	}
}

// checkForgedAddress: the log has the caller's real address, whatever X-Forwarded-For it sends.
func checkForgedAddress(t *testing.T, f *fleet) {
	const caller, forged = "127.0.0.2", "203.0.113.9"
	logged := func(id string) string {
		var lines []harness.AccessLine
		harness.Eventually(t, harness.StartTimeout, "the request is logged", func() bool {
			lines = append(harness.AccessLines(f.instances[0].Output.String(), id), harness.AccessLines(f.instances[1].Output.String(), id)...)
			return len(lines) == 1
		})
		return fmt.Sprint(lines[0]["address"])
	}
	// An instance trusts its proxy, so the proxy must drop forged addresses.
	id := harness.FreshName()
	f.instances[0].Do(t, harness.Call{Path: "/", Header: map[string]string{"X-Request-ID": id, "X-Forwarded-For": forged}})
	if got := logged(id); got != forged {
		t.Fatalf("the proxy forwards %s, the instance logs %s", forged, got)
	}
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(caller)}}
	client := &http.Client{Timeout: 15 * time.Second, Transport: &http.Transport{DialContext: dialer.DialContext}}
	defer client.CloseIdleConnections()
	for _, lines := range [][]string{nil, {forged}, {"127.0.0.1"}, {forged + ", 127.0.0.1"}, {forged, forged}, {"127.0.0.1, " + forged}} {
		id := harness.FreshName()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, f.proxy.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header["X-Forwarded-For"], req.Header["X-Request-Id"] = lines, []string{id}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if got := logged(id); got != caller {
			t.Errorf("X-Forwarded-For %q from %s: logged is %s", lines, caller, got)
		}
	}
}

// checkSentOnce: a POST whose connection broke may have been executed, so the proxy does not retry it.
func checkSentOnce(t *testing.T, f *fleet) {
	var posts atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			posts.Add(1)
			panic(http.ErrAbortHandler)
		}
	}))
	defer server.Close()
	proxy := harness.StartHAProxy(t, server.URL, server.URL)
	// On a reused connection the proxy would just close it and leave the retry to the client.
	client := &http.Client{Timeout: 15 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Post(proxy.URL+"/service/account/register", "application/json", strings.NewReader(`{}`))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusBadGateway || string(body) != `{"detail":"Bad Gateway"}` {
		t.Errorf("%d %s, %v", resp.StatusCode, body, err)
	}
	if n := posts.Load(); n != 1 {
		t.Errorf("the request was sent %d times", n)
	}
}

// checkLeftInTime: an instance that stops gets no new requests well before it ends.
func checkLeftInTime(t *testing.T, f *fleet) {
	stopping, other := f.instances[0], f.instances[1]
	// Two failed checks must take at most half of DRAIN_DELAY.
	config := harness.ReadFile(t, "deploy/haproxy.cfg")
	settings, _ := harness.ReadSettings(t, f.bin, nil)
	var seen [3]time.Duration
	for i, text := range []string{
		harness.FirstMatch(t, config, `check inter (\S+)`), harness.FirstMatch(t, config, `fastinter (\S+) fall 2`), settings["DRAIN_DELAY"],
	} {
		var err error
		if seen[i], err = time.ParseDuration(text); err != nil {
			t.Fatal(err)
		}
	}
	if seen[0]+seen[1] > seen[2]/2 {
		t.Errorf("two checks that fail, after %s and %s, take too much of a DRAIN_DELAY of %s", seen[0], seen[1], seen[2])
	}

	stopping.Signal(t, syscall.SIGTERM)
	harness.Eventually(t, 10*time.Second, "the instance gets no more requests", func() bool {
		before, others := served(stopping), served(other)
		for range 20 {
			f.whoami(t)
		}
		harness.Eventually(t, harness.StartTimeout, "the requests are logged", func() bool {
			return served(stopping)+served(other) >= before+others+20
		})
		return served(stopping) == before
	})
	if a, err := harness.PlainGet(t, stopping.URL+"/livez"); err != nil || a.Status != http.StatusOK {
		t.Errorf("the instance got requests until it had ended: %v, %v", a.Status, err)
	}
	_ = stopping.Cmd.Process.Kill() // no need to wait for the rest of its delay
	stopping.Wait(t)
	f.start(t, 0, nil)
}

// checkRollingRestart: both instances restart, one after the other, and no request fails.
func checkRollingRestart(t *testing.T, f *fleet) {
	end := f.load(t)
	t.Cleanup(func() { end() }) // also where the test ends early
	for i := range f.instances {
		f.instances[i].Signal(t, syscall.SIGTERM)
		if code := f.instances[i].Wait(t); code != 0 {
			t.Errorf("exit code %d", code)
		}
		f.start(t, i, nil)
		harness.Eventually(t, harness.StartTimeout, "the instance gets requests again", func() bool { return served(f.instances[i]) > 10 })
	}
	total := end()
	t.Logf("%d requests during two restarts", total)
	if total < 200 {
		t.Errorf("only %d requests: too few to show anything", total)
	}
}

// load reads and writes through the proxy until end is called. Every request must succeed, and the proxy must not close the
// connections of clients.
func (f *fleet) load(t *testing.T) (end func() (total int)) {
	var total atomic.Int64
	var callers sync.WaitGroup
	over := make(chan struct{})
	for range 4 {
		callers.Go(func() {
			pause := time.NewTicker(5 * time.Millisecond)
			defer pause.Stop()
			for {
				select {
				case <-over:
					return
				case <-pause.C:
				}
				register := harness.Post("/service/account/register", `{"username":"`+harness.FreshName()+`"}`)
				register.Token = f.secrets.Token()
				for status, c := range map[int]harness.Call{200: {Path: "/service/whoami", Token: f.secrets.Token()}, 201: register} {
					a, err := f.proxy.Try(t, c)
					if err != nil || a.Status != status || a.Closes {
						t.Errorf("%s: %d %s, closes %v, %v", c.Path, a.Status, a.Body, a.Closes, err)
					}
					total.Add(1)
				}
			}
		})
	}
	return sync.OnceValue(func() int {
		close(over)
		callers.Wait()
		return int(total.Load())
	})
}

// checkNoInstance: without an instance the proxy answers 503 in the service's own form.
func checkNoInstance(t *testing.T, f *fleet) {
	for _, p := range f.instances {
		p.Signal(t, syscall.SIGTERM)
	}
	var a harness.Answer
	harness.Eventually(t, harness.StartTimeout, "the proxy answers 503", func() (done bool) {
		got, err := harness.PlainGet(t, f.proxy.URL+"/")
		a = got
		return err == nil && a.Status == http.StatusServiceUnavailable
	})
	a.IsRefused(t, http.StatusServiceUnavailable, "Service Unavailable", "")
	a.IsJSON(t)
	if a.Header.Get("Retry-After") == "" {
		t.Error("the proxy sends no Retry-After")
	}
}
