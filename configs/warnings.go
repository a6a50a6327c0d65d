package configs

import (
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// Warnings are sentences about settings that work but are probably mistakes: files with secrets that every user of the machine can
// read, and a database on another machine without TLS. Their only values are paths and hosts.
func (l *Loaded) Warnings() []string {
	var warnings []string
	if l.Config.AppEnv == Development && readableByOthers(dotenvPath(l.dir)) {
		warnings = append(warnings, dotenvName+" can be read by every user of this machine: chmod 600 "+dotenvPath(l.dir))
	}
	storeURL := l.Config.DatabaseURL.Reveal()
	if path, ok := strings.CutPrefix(storeURL, "sqlite:"); ok && readableByOthers(path) {
		warnings = append(warnings, "the store can be read by every user of this machine: chmod 600 "+path)
	}
	if host := inClear(storeURL); host != "" {
		warnings = append(warnings, "DATABASE_URL has no sslmode, so a server or a network on the way to "+host+
			" can make the connection one without encryption: add sslmode=verify-full or sslmode=require, or sslmode=disable if that is meant")
	}
	return warnings
}

// readableByOthers reports whether users who are neither the file's owner nor in its group can read it, by its mode and those of
// all folders above. On Windows modes do not show that.
func readableByOthers(path string) bool {
	const read, enter = 0o004, 0o001
	if runtime.GOOS == "windows" {
		return false
	}
	path, err := filepath.EvalSymlinks(path)
	if err == nil {
		path, err = filepath.Abs(path)
	}
	if err != nil || !lets(path, read) {
		return false
	}
	for folder := filepath.Dir(path); lets(folder, enter); folder = filepath.Dir(folder) {
		if folder == filepath.Dir(folder) {
			return true
		}
	}
	return false
}

func lets(path string, others os.FileMode) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode()&others == others
}

// inClear is a host to which the driver may connect without TLS because no setting decides it. It is "" if the host is this machine,
// if sslmode is set, and if a service of libpq may set it.
func inClear(storeURL string) string {
	if !isPostgres(storeURL) || os.Getenv("PGSSLMODE") != "" || os.Getenv("PGSERVICE") != "" {
		return ""
	}
	u, err := url.Parse(storeURL)
	if err != nil {
		return ""
	}
	query := u.Query()
	for _, name := range []string{"sslmode", "ssl", "service"} {
		if query.Get(name) != "" {
			return ""
		}
	}
	hosts := query.Get("host")
	if hosts == "" {
		hosts = u.Host
	}
	if hosts == "" {
		hosts = os.Getenv("PGHOST")
	}
	for host := range strings.SplitSeq(hosts, ",") {
		if name, _, err := net.SplitHostPort(host); err == nil {
			host = name
		}
		if host = strings.Trim(host, "[]"); !isHere(host) {
			return host
		}
	}
	return ""
}

// isHere reports whether a host is this machine: its name, its address, or the folder of a socket.
func isHere(host string) bool {
	if host == "" || strings.EqualFold(host, "localhost") || filepath.IsAbs(host) || host[0] == '/' {
		return true
	}
	address, err := netip.ParseAddr(host)
	return err == nil && address.Unmap().IsLoopback()
}
