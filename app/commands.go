package app

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os/signal"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/latchkey-api/latchkey/client"
	"github.com/latchkey-api/latchkey/configs"
	"github.com/latchkey-api/latchkey/handlers"
	"github.com/latchkey-api/latchkey/internal/listener"
	"github.com/latchkey-api/latchkey/store"
	"github.com/latchkey-api/latchkey/token"
)

type initCmd struct{}

// Run writes .env.
func (initCmd) Run(r *command) error {
	src := r.sources
	src.Only = []string{"APP_ENV"}
	loaded, err := configs.Load(src)
	if err != nil {
		return err
	}
	if loaded.Config.AppEnv != configs.Development {
		return errors.New("init is for development: in production, set API_KEY and JWT_SECRET_KEY in the environment")
	}
	created, err := configs.Bootstrap(r.sources.Dir)
	switch {
	case err != nil:
		return err
	case created:
		r.say("Wrote .env with fresh secrets for development. Keep it out of version control.")
		r.say("Start the server with: %s", r.name)
	default:
		r.say("There is a .env already; it was left as it is. If it names no API_KEY and JWT_SECRET_KEY, add them, or remove it and run init again.")
	}
	return nil
}

type tokenCmd struct {
	Key   *string       `help:"A registered key to make the token for. Other users can see it among the arguments of this process: rather set the variable." env:"LATCHKEY_KEY" placeholder:"KEY"`
	TTL   time.Duration `help:"How long the token is valid, such as 90s or 1h. Default: JWT_TTL." placeholder:"DURATION"`
	Scope []string      `help:"Narrow the token to these scopes; can be repeated." placeholder:"SCOPE" sep:"none"`
}

// Run prints a token, for the shared key when no other is given.
func (t tokenCmd) Run(r *command) error {
	src := r.sources
	src.Only = []string{"APP_ENV", "JWT_AUDIENCE", "JWT_TTL", "JWT_MAX_LIFETIME"}
	if t.Key == nil {
		src.Only = append(src.Only, "API_KEY", "JWT_SECRET_KEY", "JWT_ALGORITHM")
	} else if _, err := parseKey(*t.Key); err != nil {
		return err
	}
	loaded, err := configs.Load(src)
	if err != nil {
		return err
	}
	c := loaded.Config
	switch {
	case t.Key != nil:
	case c.APIKey.IsZero() && c.JWTSecretKey.IsZero():
		return errors.New("neither API_KEY nor JWT_SECRET_KEY is set: run latchkey init first")
	case c.APIKey.IsZero():
		return errors.New("API_KEY is not set, and a token names it")
	case c.JWTSecretKey.IsZero():
		return errors.New("JWT_SECRET_KEY is not set, and it signs the token")
	}
	ttl := t.TTL
	if ttl == 0 {
		ttl = c.JWTTTL
	}
	if ttl < time.Second || ttl > c.JWTMaxLifetime {
		return fmt.Errorf("--ttl must be from 1s to JWT_MAX_LIFETIME, which is %s", c.JWTMaxLifetime)
	}
	var minted string
	if t.Key == nil {
		minted, err = mint(c, ttl, t.Scope)
	} else {
		minted, err = client.Mint(*t.Key, client.Options{Audience: c.JWTAudience, TTL: ttl, Scopes: t.Scope})
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(r.stdout, minted)
	return err
}

// mint makes a token for the shared key; scopes narrow it unless nil.
func mint(c configs.Config, ttl time.Duration, scopes []string) (string, error) {
	grant := token.Grant{APIKey: c.APIKey.Reveal(), Audience: c.JWTAudience, Now: time.Now(), TTL: ttl}
	if scopes != nil {
		scope := strings.Join(scopes, " ")
		grant.Scope = &scope
	}
	signing, err := token.HMAC(c.JWTAlgorithm, "", []byte(c.JWTSecretKey.Reveal()))
	if err != nil {
		return "", err
	}
	return token.Mint(signing, grant)
}

type configCmd struct {
	JSON bool `name:"json" help:"Print JSON."`
}

// Help is what --help adds.
func (configCmd) Help() string { return configs.Describe() }

// Run prints the effective configuration, and the names in .env that set nothing. It fails, after printing, where serve
// would refuse it.
func (c configCmd) Run(r *command) error {
	loaded, err := configs.LoadAndValidate(r.sources)
	listed := slices.Concat(loaded.Settings, loaded.Ignored)
	for _, warning := range warnings(loaded) {
		r.say("Warning: %s", warning)
	}
	if c.JSON {
		encoder := json.NewEncoder(r.stdout)
		encoder.SetIndent("", "  ")
		return errors.Join(encoder.Encode(listed), err)
	}
	table := tabwriter.NewWriter(r.stdout, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "SETTING\tVALUE\tFROM")
	for _, s := range listed {
		if s.Ignored {
			s.Value = "(ignored: no setting of this service)"
		}
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\n", s.Name, s.Value, s.Layer)
	}
	return errors.Join(table.Flush(), err)
}

// warnings is what is not refused, but probably not meant.
func warnings(loaded *configs.Loaded) []string {
	return append(loaded.Warnings(), storeOptions(loaded.Config).Remarks()...)
}

type migrateCmd struct{}

// Run migrates the store.
func (migrateCmd) Run(r *command) error {
	loaded, err := r.loadStore()
	if err != nil {
		return err
	}
	applied, err := store.Migrate(r.ctx, storeOptions(loaded.Config))
	if err != nil {
		return err
	}
	if len(applied) == 0 {
		r.say("The schema is up to date.")
	}
	for _, name := range applied {
		r.say("Applied %s.", name)
	}
	return nil
}

type backupCmd struct {
	File string `arg:"" help:"The file to write, which must not exist; - writes to standard output."`
}

// Run copies the store.
func (b backupCmd) Run(r *command) error {
	loaded, err := r.loadStore()
	if err != nil {
		return err
	}
	if b.File == "-" {
		signal.Ignore(syscall.SIGPIPE) // the copy beside the store is removed, also when nobody reads to the end
		return store.BackupTo(r.ctx, storeOptions(loaded.Config), r.stdout)
	}
	if err := store.Backup(r.ctx, storeOptions(loaded.Config), b.File); err != nil {
		return err
	}
	r.say("Wrote %s.", b.File)
	return nil
}

// loadStore reads what it takes to open the store.
func (r *command) loadStore() (*configs.Loaded, error) {
	src := r.sources
	src.Only = []string{"APP_ENV", "DATABASE_URL"}
	return configs.Load(src)
}

type openapiCmd struct{}

// Run prints the OpenAPI document. It needs no configuration and no store: the table alone decides.
func (openapiCmd) Run(r *command) error {
	document, err := openAPI(table(nil, nil, handlers.Live))
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(r.stdout, string(document))
	return err
}

type healthCmd struct {
	URL string `name:"url" help:"Ask this address instead of the server that the settings describe." placeholder:"URL"`
}

// healthTimeout is how long the server may take to answer.
const healthTimeout = 2 * time.Second

// Help is what --help adds.
func (healthCmd) Help() string {
	return "It asks HOST and PORT, by HTTPS where TLS_CERT_FILE is set, as this command finds them: in the environment, .env, " +
		"the files and its own flags. It cannot see the flags of the server: one that was started with --port=9000 is " +
		"found with health --port=9000, or with --url."
}

// Run asks the server. It reads neither secrets nor the store.
func (h healthCmd) Run(r *command) error {
	transport := &http.Transport{} // no proxy, whatever the environment says
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
			// This process asks itself, under an address that no certificate names.
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

type versionCmd struct{}

// Run prints the version.
func (versionCmd) Run(r *command) error {
	_, err := fmt.Fprintln(r.stdout, versionLine())
	return err
}

func versionLine() string {
	return fmt.Sprintf("latchkey %s (%s, %s/%s)", versionText(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

// version is set when a release is built: -ldflags "-X github.com/latchkey-api/latchkey/app.version=v1.2.3".
var version string

// versionText is the release, or what the module's build information says of it.
func versionText() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}
