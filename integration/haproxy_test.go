package integration

import (
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// startProxy runs HAProxy in front of two addresses until the test ends.
func startProxy(t *testing.T, one, two string) *target {
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
	run := func(args ...string) (*exec.Cmd, *buffer) {
		// -dW makes a warning an error.
		cmd, output := exec.Command("haproxy", append([]string{"-dW", "-f", "../deploy/haproxy.cfg"}, args...)...), &buffer{}
		cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = output, output, []*os.File{inherited}
		cmd.Env = environment(map[string]string{
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
			t.Logf("the proxy's output, last part:\n%s", tail(output.String(), 4000))
		}
	})
	tg := &target{kind: "binary", url: "http://" + listener.Addr().String()}
	eventually(t, startLimit, "the proxy answers", func() bool {
		a, err := plainGet(t, tg.url+"/readyz")
		return err == nil && a.status == http.StatusOK
	})
	return tg
}

// plainGet asks without the checks of target.try, for answers that are the proxy's own.
func plainGet(t *testing.T, url string) (answer, error) {
	t.Helper()
	resp, err := httpClient.Get(url)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return answer{call: "GET " + url, status: resp.StatusCode, header: resp.Header, body: string(body)}, err
}
