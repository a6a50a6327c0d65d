package integration

import (
	"net/netip"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/latchkey-api/latchkey/integration/harness"
)

// composeFile has the fields that compose.yaml may use: see DecodeYAML.
type composeFile struct {
	Services map[string]composeService
	Networks map[string]struct {
		Internal bool
		IPAM     struct {
			Config []struct {
				Subnet  netip.Prefix
				IPRange netip.Prefix `yaml:"ip_range"`
			}
		}
	}
	Volumes   map[string]any
	Templates map[string]any `yaml:",inline"` // x-...
}

type composeService struct {
	Image       string
	Build       struct{ Context string }
	User        string
	Environment map[string]string
	Volumes     []string
	Tmpfs       []string
	Ports       []string
	Healthcheck *struct {
		Test        []string
		Interval    time.Duration
		Timeout     time.Duration
		StartPeriod time.Duration `yaml:"start_period"`
	}
	DependsOn map[string]struct{ Condition string } `yaml:"depends_on"`
	Networks  map[string]struct {
		Address netip.Addr `yaml:"ipv4_address"`
	}
	ReadOnly    bool     `yaml:"read_only"`
	CapDrop     []string `yaml:"cap_drop"`
	CapAdd      []string `yaml:"cap_add"`
	SecurityOpt []string `yaml:"security_opt"`
	Restart     string
	StopGrace   time.Duration `yaml:"stop_grace_period"`
}

var composeMutations = []mutation{
	{"read_only: true", "read_only: false", "writes to its root"},
	{"read_only:", "readonly:", "not found in type"},
	{"- ALL", "- NET_RAW", "keeps capabilities"},
	{"no-new-privileges:true", "no-new-privileges:false", "may gain privileges"},
	{"unless-stopped", `"no"`, "is not started again"},
	{"stop_grace_period: 15s\n\nservices", "stop_grace_period: 12s\n\nservices", "a stop is given 12s"},
	{"TRUSTED_PROXIES:", "TRUSTED_PROXY:", "TRUSTED_PROXY is no setting"},
	{"TRUSTED_PROXIES: *proxy-address", "TRUSTED_PROXIES: 10.213.80.0/24", "X-Forwarded-For"},
	{"10.213.80.2\n", "10.213.80.130\n", "another container can get"},
	{"10.213.80.2\n", "10.213.81.2\n", "another container can get"},
	{"${JWT_SECRET_KEY:-}", "${JWT_SECRET_KEY:?set JWT_SECRET_KEY}", "JWT_SECRET_KEY is required"},
	{"${API_KEY:-}", "${API_KEY:?set API_KEY}", "API_KEY is required"},
	{"    JWT_SECRET_KEY_PREVIOUS: ${JWT_SECRET_KEY_PREVIOUS:-}\n", "", "JWT_SECRET_KEY_PREVIOUS does not reach the program"},
	{"    MASTER_KEY_PREVIOUS: ${MASTER_KEY_PREVIOUS:-}\n", "", "MASTER_KEY_PREVIOUS does not reach the program"},
	{"${JWT_SECRET_KEY_PREVIOUS:-}", "${JWT_SECRET_KEY:-}", "the program refuses to start"},
	{"${POSTGRES_PASSWORD:?", "${POSTGRES_PASSWORD:-", "POSTGRES_PASSWORD is not required"},
	{"latchkey@postgres/latchkey", "latchkey:${POSTGRES_PASSWORD}@postgres/latchkey", "percent-encoded"},
	{"latchkey@postgres/latchkey", "latchkey@db/latchkey", "is not the database"},
	{"POSTGRES_DB: latchkey", "POSTGRES_DB: other", "is not the database"},
	{"PGPASSWORD:", "PGPASSFILE:", "is not the database's"},
	{"127.0.0.1:8000:8000", "8000:8000", "publishes"},
	{"    image: postgres", "    ports: [127.0.0.1:5432:5432]\n    image: postgres", "publishes"},
	{"  # The image has the health check.", "  ports: [127.0.0.1:9464:9464]", "publishes"},
	{"  # The image has the health check.", "  healthcheck: {test: [NONE]}", "health check"},
	{"pg_isready, -q", "true, -q", "health check"},
	{"8000/readyz", "8000/livez", "health check"},
	{"service_healthy", "service_started", "does not wait for the database"},
	{"LATCHKEY_2: latchkey-2:8000", "LATCHKEY_2: latchkey-1:8000", "the proxy does not lead to latchkey-2:8000"},
	{"LATCHKEY_2: latchkey-2:8000", "LATCHKEY_2: latchkey-2:9464", "the proxy does not lead to latchkey-2:8000"},
	{"internal: true", "internal: false", "reaches the outside"},
	{"./deploy/haproxy.cfg:", "./haproxy.cfg:", "no such file"},
}

// TestCompose compares compose.yaml with the built program. Compose itself is not run.
func TestCompose(t *testing.T) {
	bin := harness.BuildBinary(t)
	seen(t, "compose.yaml", harness.ReadFile(t, "compose.yaml"), composeMutations, func(text string) problems {
		var file composeFile
		if err := harness.DecodeYAML(text, &file); err != nil {
			return problems{err.Error()}
		}
		return file.problems(t, bin)
	})
	var file composeFile
	if err := harness.DecodeYAML(harness.ReadFile(t, "compose.yaml"), &file); err != nil {
		t.Fatal(err)
	}
	checkRegisteredAlone(t, bin, interpolate(file.Services["latchkey-1"].Environment, map[string]string{"POSTGRES_PASSWORD": "x"}))
}

var interpolated = regexp.MustCompile(`\$\{([A-Z_]+)(:[?-][^}]*)?\}`)

// interpolate replaces variables in the environment of a service, as Compose does.
func interpolate(environment, variables map[string]string) map[string]string {
	resolved := map[string]string{}
	for name, value := range environment {
		resolved[name] = interpolated.ReplaceAllStringFunc(value, func(match string) string {
			return variables[interpolated.FindStringSubmatch(match)[1]]
		})
	}
	return resolved
}

func (f composeFile) problems(t *testing.T, bin string) problems {
	var found problems
	for name, service := range f.Services {
		found.unless(service.ReadOnly, "%s writes to its root", name)
		found.unless(slices.Equal(service.CapDrop, []string{"ALL"}) && service.CapAdd == nil, "%s keeps capabilities", name)
		found.unless(slices.Equal(service.SecurityOpt, []string{"no-new-privileges:true"}), "%s may gain privileges", name)
		found.unless(service.Restart == "unless-stopped", "%s is not started again", name)
		published := []string(nil)
		if name == "proxy" {
			published = []string{"127.0.0.1:8000:8000"}
		}
		found.unless(slices.Equal(service.Ports, published), "%s publishes %v", name, service.Ports)
	}
	instances := 0
	for name, service := range f.Services {
		if service.Build.Context == "" {
			continue
		}
		instances++
		f.instance(t, bin, name, service, &found)
	}
	found.unless(instances == 2, "%d instances, want 2", instances)
	f.proxy(t, &found)
	f.postgres(&found)
	return found
}

// instance checks one instance, and its connections to the proxy and the database.
func (f composeFile) instance(t *testing.T, bin, name string, service composeService, found *problems) {
	proxy, database := f.Services["proxy"], f.Services["postgres"]
	// Characters with a meaning in a URL, in YAML or in a shell.
	password := `p@ss:w/o?r#d%20 $"'\`
	variables := harness.SecretEnv(harness.FreshSecrets(), "")
	variables["POSTGRES_PASSWORD"] = password
	env := interpolate(service.Environment, variables)
	settings := found.checkEnv(t, bin, name, env)
	found.checkStop(t, name, service.StopGrace, settings)
	for variable := range variables {
		found.unless(variable == "POSTGRES_PASSWORD" || settings[variable] != "", "%s: %s does not reach the program", name, variable)
	}
	// The shared key and previous secrets are optional; the password is not.
	found.checkEnv(t, bin, name+" without a shared key", interpolate(service.Environment, map[string]string{"POSTGRES_PASSWORD": password}))
	for _, value := range service.Environment {
		if match := interpolated.FindStringSubmatch(value); match != nil {
			required := strings.HasPrefix(match[2], ":?")
			found.unless(required || match[1] != "POSTGRES_PASSWORD", "%s: %s is not required", name, match[1])
			found.unless(!required || match[1] == "POSTGRES_PASSWORD", "%s: %s is required", name, match[1])
		}
	}
	found.unless(!strings.Contains(service.Environment["DATABASE_URL"], "$"), "%s: a password in DATABASE_URL would have to be percent-encoded", name)
	access := interpolate(database.Environment, variables)
	if at, err := url.Parse(env["DATABASE_URL"]); err == nil {
		found.unless(at.Hostname() == "postgres" && at.Path == "/"+access["POSTGRES_DB"] && at.User.Username() == access["POSTGRES_USER"],
			"%s: %s is not the database", name, at.Redacted())
	}
	found.unless(env["PGPASSWORD"] == password && access["POSTGRES_PASSWORD"] == password, "%s: the password is not the database's", name)
	found.unless(env["TRUSTED_PROXIES"] == proxy.Networks["front"].Address.String(),
		"%s believes the X-Forwarded-For of %s, and the proxy is %s", name, env["TRUSTED_PROXIES"], proxy.Networks["front"].Address)
	found.unless(service.Healthcheck == nil && harness.ReadDockerfile(t).Health, "%s: the health check is not the image's", name)
	found.unless(service.DependsOn["postgres"].Condition == "service_healthy", "%s does not wait for the database", name)

	var leads bool
	for _, to := range proxy.Environment {
		leads = leads || to == name+":"+settings["PORT"]
	}
	found.unless(leads, "the proxy does not lead to %s:%s", name, settings["PORT"])
	for network := range database.Networks {
		_, shared := service.Networks[network]
		found.unless(shared, "%s does not reach the database", name)
	}
	_, shared := service.Networks["front"]
	found.unless(shared, "the proxy does not reach %s", name)
}

func (f composeFile) proxy(t *testing.T, found *problems) {
	proxy := f.Services["proxy"]
	front := f.Networks["front"].IPAM.Config
	if address := proxy.Networks["front"].Address; len(front) != 1 || !front[0].Subnet.Contains(address) || front[0].IPRange.Contains(address) {
		found.unless(false, "the address of the proxy, %s, is one that another container can get, or none of its network", address)
	}
	found.unless(proxy.Environment["PROXY_BIND"] == ":8000", "the proxy listens on %s", proxy.Environment["PROXY_BIND"])
	for _, variable := range regexp.MustCompile(`\$\{(\w+)\}`).FindAllStringSubmatch(harness.ReadFile(t, "deploy/haproxy.cfg"), -1) {
		found.unless(proxy.Environment[variable[1]] != "", "the proxy needs %s", variable[1])
	}
	for _, volume := range proxy.Volumes {
		source, _, _ := strings.Cut(volume, ":")
		_, err := os.Stat("../" + source)
		found.unless(err == nil, "the proxy mounts %s: no such file", source)
	}
	found.unless(proxy.Healthcheck != nil && slices.Contains(proxy.Healthcheck.Test, "http://127.0.0.1:8000/readyz"),
		"the proxy has no health check that asks /readyz")
	hardStop, err := time.ParseDuration(harness.FirstMatch(t, harness.ReadFile(t, "deploy/haproxy.cfg"), `hard-stop-after (\S+)`))
	found.unless(err == nil && hardStop < proxy.StopGrace, "the proxy stops after %s, and is given %s", hardStop, proxy.StopGrace)
}

func (f composeFile) postgres(found *problems) {
	database := f.Services["postgres"]
	found.unless(database.Healthcheck != nil && slices.Contains(database.Healthcheck.Test, "pg_isready"), "the database has no health check")
	found.unless(database.User == "postgres", "the database begins as %q", database.User)
	for network := range database.Networks {
		_, shared := f.Services["proxy"].Networks[network]
		found.unless(f.Networks[network].Internal && !shared, "the database reaches the outside, or the proxy reaches it")
	}
}
