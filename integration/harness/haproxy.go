package harness

import (
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// StartHAProxy runs HAProxy in front of two addresses until the test ends.
func StartHAProxy(t *testing.T, one, two string) *Target {
	t.Helper()
	listener, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	inherited, err := listener.File()
	if err != nil {
		t.Fatal(err)
	}
	defer inherited.Close()
	defer listener.Close() // the proxy has its own
	run := func(args ...string) (*exec.Cmd, *Output) {
		// -dW makes a warning an error.
		cmd, output := exec.Command("haproxy", append([]string{"-dW", "-f", "../deploy/haproxy.cfg"}, args...)...), &Output{}
		cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = output, output, []*os.File{inherited}
		cmd.Env = Environment(map[string]string{
			"PROXY_BIND": "fd@3", "LATCHKEY_1": strings.TrimPrefix(one, "http://"), "LATCHKEY_2": strings.TrimPrefix(two, "http://"),
		})
		return cmd, output
	}
	check, output := run("-c")
	if err := check.Run(); err != nil {
		t.Fatalf("haproxy -c: %v\n%s", err, output)
	}
	serve, output := run("-db")
	if err := serve.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = serve.Process.Kill()
		_ = serve.Wait()
		if t.Failed() {
			t.Logf("the proxy's output, last part:\n%s", Tail(output.String(), 4000))
		}
	})
	tg := &Target{Kind: "binary", URL: "http://" + listener.Addr().String()}
	Eventually(t, StartTimeout, "the proxy answers", func() bool {
		a, err := PlainGet(t, tg.URL+"/readyz")
		return err == nil && a.Status == http.StatusOK
	})
	return tg
}

// PlainGet is a GET without the checks of Try, for the proxy's own answers.
func PlainGet(t *testing.T, url string) (Answer, error) {
	t.Helper()
	resp, err := HTTPClient.Get(url)
	if err != nil {
		return Answer{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return Answer{Call: "GET " + url, Status: resp.StatusCode, Header: resp.Header, Body: string(body)}, err
}
