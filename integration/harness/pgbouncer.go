package harness

import (
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// StartPgBouncer starts a PgBouncer before a database, and gives the URL of the database through it, without parameters.
func StartPgBouncer(t *testing.T, databaseURL, mode string) string {
	t.Helper()
	program, err := exec.LookPath("pgbouncer")
	if err != nil {
		program = "/usr/sbin/pgbouncer" // where Debian keeps it
	}
	if _, err := os.Stat(program); err != nil {
		Unavailable(t, "there is no pgbouncer")
	}
	u, err := url.Parse(databaseURL)
	if err != nil {
		t.Fatal("not a URL") // the error repeats it
	}
	server := fmt.Sprintf("* = host=%s user=%s", u.Hostname(), u.User.Username())
	if u.Port() != "" {
		server += " port=" + u.Port()
	}
	if password, given := u.User.Password(); given {
		server += " password='" + strings.ReplaceAll(password, "'", "''") + "'"
	}
	free, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().String()
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	_, port, _ := strings.Cut(address, ":")
	file := filepath.Join(t.TempDir(), "pgbouncer.ini")
	// Fewer server connections than one instance would open, so that transactions must share them.
	text := server + `
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ` + port + `
unix_socket_dir =
auth_type = any
default_pool_size = 8
log_connections = 0
log_disconnections = 0
pool_mode = ` + mode + "\n"
	if err := os.WriteFile(file, []byte("[databases]\n"+text), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{file}
	if os.Getuid() == 0 { // it refuses to run as root; it reads the file before it changes its user
		args = []string{"-u", "nobody", file}
	}
	command, log := exec.Command(program, args...), &Output{}
	command.Stdout, command.Stderr = log, log
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait()
		if t.Failed() {
			t.Logf("PgBouncer's log, last part:\n%s", Tail(log.String(), 4000))
		}
	})
	Eventually(t, StartTimeout, "PgBouncer accepts", func() bool {
		conn, err := net.Dial("tcp", address)
		return err == nil && conn.Close() == nil
	})
	u.Host, u.RawQuery = address, ""
	return u.String()
}
