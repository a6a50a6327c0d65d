package integration

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"io"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/latchkey-api/latchkey/integration/harness"
)

// selfSigned writes a certificate and its key to dir.
func selfSigned(t *testing.T, dir string) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for path, block := range map[string]*pem.Block{
		certFile: {Type: "CERTIFICATE", Bytes: cert}, keyFile: {Type: "PRIVATE KEY", Bytes: private},
	} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certFile, keyFile
}

// checkHangup: SIGHUP reads the certificate again, and does not stop the service.
func checkHangup(t *testing.T, bin string) {
	harness.NeedSignals(t)
	dir, s := t.TempDir(), harness.FreshSecrets()
	env := harness.ProductionEnv(s, dir)
	env["TLS_CERT_FILE"], env["TLS_KEY_FILE"] = selfSigned(t, dir)
	p := harness.Launch(t, bin, dir, env)
	for i := range 3 {
		harness.Eventually(t, harness.StartTimeout, "the certificate is read, time "+strconv.Itoa(i), func() bool {
			log := p.Output.String()
			return strings.Contains(log, `"msg":"serving"`) && strings.Count(log, "the TLS certificate was read again") == i
		})
		p.Signal(t, syscall.SIGHUP)
	}
	if code := p.Stop(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// checkIdle: an idle connection is closed after IDLE_TIMEOUT, not earlier.
func checkIdle(t *testing.T, bin string) {
	const idle = time.Second
	p := harness.StartProcess(t, bin, map[string]string{"IDLE_TIMEOUT": idle.String()})
	for name, url := range map[string]string{"API": p.URL, "operations address": p.OpsURL} {
		conn := (&harness.Target{URL: url}).Dial(t)
		conn.Send(t, "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
		resp, err := http.ReadResponse(conn.Reader, nil)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		answered := time.Now()
		if n, err := conn.Reader.ReadByte(); err == nil {
			t.Errorf("%s: %q instead of the end", name, n)
		}
		if took := time.Since(answered); took < idle-500*time.Millisecond || took > idle+8*time.Second {
			t.Errorf("%s: closed after %v, want %v", name, took, idle)
		}
	}
}
