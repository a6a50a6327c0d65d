package cli

import (
	"net"
	"net/url"
	"strings"
	"testing"
)

func TestHelpAndVersion(t *testing.T) {
	inEmptyFolder(t)
	printed := func(args ...string) string {
		t.Helper()
		code, stdout, stderr := run(t, args...)
		if code != 0 || stdout == "" || stderr != "" {
			t.Fatalf("%v: exit code %d, prints %q, says %q", args, code, stdout, stderr)
		}
		return stdout
	}
	for _, command := range []string{"", "serve", "init", "token", "keys", "keys create", "keys rotate", "explain", "health"} {
		words := strings.Fields(command)
		if asked, flagged := printed(append([]string{"help"}, words...)...), printed(append(words, "--help")...); asked != flagged {
			t.Errorf("help %s prints\n%s\nand with --help it is\n%s", command, asked, flagged)
		}
	}
	if text := printed("help", "keys", "create"); !strings.Contains(text, "--client") {
		t.Errorf("help keys create prints\n%s", text)
	}
	if text := printed("help"); !strings.Contains(text, "--version") || !strings.Contains(text, "Print the help of a command") {
		t.Errorf("help lists\n%s", text)
	}
	version := printed("version")
	for _, args := range [][]string{{"--version"}, {"serve", "--version"}} {
		if got := printed(args...); got != version {
			t.Errorf("%v prints %q, and version %q", args, got, version)
		}
	}
}

// TestHealthUsesSettingsAndFlags: it cannot know in another way where the server is.
func TestHealthUsesSettingsAndFlags(t *testing.T) {
	inEmptyFolder(t)
	served, stop := startServer(t)
	u, err := url.Parse(served)
	if err != nil {
		t.Fatal(err)
	}
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, elsewhere, _ := net.SplitHostPort(closed.Addr().String())
	_ = closed.Close()
	if code, _, stderr := run(t, "health", "--port="+u.Port()); code != 0 {
		t.Errorf("--port: %d %s", code, stderr)
	}
	if code, _, stderr := run(t, "health", "--host=0.0.0.0", "--port="+u.Port()); code != 0 {
		t.Errorf("a wildcard: %d %s", code, stderr)
	}
	t.Setenv("PORT", elsewhere)
	if code, _, stderr := run(t, "health"); code != 1 || !strings.Contains(stderr, "127.0.0.1:"+elsewhere) {
		t.Errorf("another port: %d %s", code, stderr)
	}
	if code, _, stderr := run(t, "health", "--port="+u.Port()); code != 0 {
		t.Errorf("--port beats PORT: %d %s", code, stderr)
	}
	t.Setenv("HOST", "192.0.2.1")
	if code, _, stderr := run(t, "health", "--host=localhost", "--port="+u.Port()); code != 0 {
		t.Errorf("--host beats HOST: %d %s", code, stderr)
	}
	if code, _ := stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	_, text, _ := run(t, "health", "--help")
	said := strings.Join(strings.Fields(text), " ")
	for _, want := range []string{"It cannot see the flags of the server", "--port=VALUE", "--host=VALUE", "--url=URL"} {
		if !strings.Contains(said, want) {
			t.Errorf("the help of health lacks %q:\n%s", want, text)
		}
	}
	if strings.Contains(text, "--jwt-leeway") {
		t.Errorf("the help of health has every setting:\n%s", text)
	}
}
