package app

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/latchkey-api/latchkey/internal/listener/listenertest"
)

// TestURLsInTheLogCanBeCalled calls the URLs in the first line of the log.
func TestURLsInTheLogCanBeCalled(t *testing.T) {
	hasIPv6 := false
	if l, err := net.Listen("tcp", "[::1]:0"); err == nil {
		hasIPv6 = l.Close() == nil
	}
	for _, tt := range []struct{ host, opsAddr, certifies, wants string }{
		{"127.0.0.1", "127.0.0.1:0", "", "http://127.0.0.1:"},
		{"0.0.0.0", "0.0.0.0:0", "", "http://127.0.0.1:"},
		{"localhost", "localhost:0", "", "http://localhost:"},
		{"127.0.0.1", ":0", "", "http://127.0.0.1:"},
		{"::ffff:0.0.0.0", "", "", "http://127.0.0.1:"},
		{"::", "[::]:0", "", "http://[::1]:"},
		{"::1", "[::1]:0", "", "http://[::1]:"},
		{"::1%lo", "[::1%lo]:0", "", "http://[::1%25lo]:"},
		{"0.0.0.0", "127.0.0.1:0", "localhost", "https://localhost:"},
		{"127.0.0.1", "127.0.0.1:0", "localhost", "https://localhost:"},
		{"localhost", "127.0.0.1:0", "localhost", "https://localhost:"},
	} {
		t.Run(tt.host+" "+tt.opsAddr+" "+tt.certifies, func(t *testing.T) {
			if strings.Contains(tt.host, ":") && !hasIPv6 {
				t.Skip("this machine has no IPv6")
			}
			config := testConfig(t)
			config.Host, config.OpsAddr, config.DemoData = tt.host, tt.opsAddr, false
			transport := &http.Transport{}
			defer transport.CloseIdleConnections()
			if tt.certifies != "" {
				dir := t.TempDir()
				config.TLSCertFile, config.TLSKeyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
				listenertest.WritePair(t, config.TLSCertFile, config.TLSKeyFile, tt.certifies, time.Now())
				text, _ := os.ReadFile(config.TLSCertFile)
				roots := x509.NewCertPool()
				roots.AppendCertsFromPEM(text)
				transport.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
			}
			if l, err := net.Listen("tcp", net.JoinHostPort(tt.host, "0")); err != nil {
				t.Skipf("this machine cannot listen there: %v", err)
			} else {
				_ = l.Close()
			}
			log := &lockedLog{}
			a := newApp(t, config, log)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			ended := make(chan error, 1)
			began := make(chan string, 1)
			go func() { ended <- a.Run(ctx, func(url string) { began <- url }) }()
			var told string
			select {
			case told = <-began:
			case err := <-ended:
				t.Fatal(err)
			}
			var first struct {
				URL string `json:"url"`
				Ops string `json:"ops_url"`
			}
			line, _, _ := strings.Cut(log.String(), "\n")
			if err := json.Unmarshal([]byte(line), &first); err != nil {
				t.Fatal(err)
			}
			if first.URL != told || !strings.HasPrefix(first.URL, tt.wants) || (first.Ops == "") != (tt.opsAddr == "") {
				t.Errorf("the log has %+v, the terminal %s, want %s", first, told, tt.wants)
			}
			for _, base := range []string{first.URL, first.Ops} {
				if base == "" {
					continue
				}
				request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+"/livez", nil)
				if err != nil {
					t.Errorf("%s: %v", base, err)
					continue
				}
				answer, err := (&http.Client{Transport: transport, Timeout: 10 * time.Second}).Do(request)
				if err != nil {
					t.Errorf("%s: %v", base, err)
					continue
				}
				_ = answer.Body.Close()
				if answer.StatusCode != http.StatusOK {
					t.Errorf("%s answers %s", base, answer.Status)
				}
			}
			cancel()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		})
	}
}

// lockedLog is a log that can be read while it is written.
type lockedLog struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (l *lockedLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.Write(p)
}

func (l *lockedLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.String()
}
