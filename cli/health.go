package cli

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"syscall"
	"time"

	"github.com/latchkey-api/latchkey/configs"
	"github.com/latchkey-api/latchkey/internal/listener"
)

type healthCmd struct {
	URL string `name:"url" help:"Ask this address instead of the server that the settings describe." placeholder:"URL"`
}

// healthTimeout is how long the server may take to answer.
const healthTimeout = 2 * time.Second

// Help is shown by --help, below the usage.
func (healthCmd) Help() string {
	return "It asks HOST and PORT, by HTTPS where TLS_CERT_FILE is set, as this command finds them: in the environment, .env, " +
		"the files and its own flags. It cannot see the flags of the server: one that was started with --port=9000 is " +
		"found with health --port=9000, or with --url."
}

// Run asks the server. It reads neither secrets nor the store.
func (h healthCmd) Run(r *command) error {
	transport := &http.Transport{} // without a proxy, even if HTTP_PROXY is set
	client := &http.Client{Timeout: healthTimeout, Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}
	url := h.URL
	if url == "" {
		src := r.sources
		src.Only = []string{"APP_ENV", "HOST", "PORT", "TLS_CERT_FILE"}
		loaded, err := configs.Load(src)
		if err != nil {
			return err
		}
		c, scheme := loaded.Config, "http"
		if c.Port == 0 {
			return errors.New("PORT is 0, so only the server knows its port: give it with --port or --url")
		}
		if c.TLSCertFile != "" {
			scheme = "https"
			// The server is on this machine, and its certificate does not name this address.
			transport.TLSClientConfig = &tls.Config{InsecureSkipVerify: true} //nolint:gosec // see above
		}
		url = scheme + "://" + listener.URLHost(c.Host, strconv.Itoa(c.Port)) + "/readyz"
	}
	request, err := http.NewRequestWithContext(r.ctx, http.MethodGet, url, nil)
	if err != nil {
		return fmt.Errorf("--url: %w", listener.Reason(err))
	}
	response, err := client.Do(request)
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%s did not answer within %s", url, healthTimeout)
	}
	if errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("nobody answers at %s: is the server running, and on this port? "+
			"One that was started with --port=N is asked with health --port=N", url)
	}
	if err != nil {
		return fmt.Errorf("%s cannot be asked: %w", url, listener.Reason(err))
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answered %s", url, response.Status)
	}
	_, err = fmt.Fprintln(r.stdout, "ready")
	return err
}
