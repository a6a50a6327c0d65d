package integration

import (
	"fmt"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"testing"

	"github.com/latchkey-api/latchkey/integration/harness"
)

var deploymentMutations = []mutation{
	{"path: /readyz", "path: /ready", "answers 404"},
	{"path: /livez\n              port: ops\n            periodSeconds: 10", "path: /readyz\n              port: ops\n            periodSeconds: 10", "restarts it for a fault of its store"},
	{"path: /livez\n              port: ops\n            periodSeconds: 1\n", "path: /metrics2\n              port: ops\n            periodSeconds: 1\n", "answers 404"},
	{"path: /readyz", "path: /livez", "sends requests to it"},
	{"port: ops", "port: metrics", "no port is named metrics"},
	{"containerPort: 9464", "containerPort: 9465", "nothing listens on 9465"},
	{"containerPort: 8000", "containerPort: 8080", "nothing listens on 8080"},
	{"name: http", "name: web", "no port is named http"},
	{"timeoutSeconds: 2", "timeoutSeconds: 1", "gives its store"},
	{"            timeoutSeconds: 2\n", "", "gives its store"},
	{"args: [migrate]", "args: [version]", "does not migrate"},
	{"args: [migrate]", "args: [migrat]", "ends with code 2"},
	{"args: [migrate]", "args: [serve, --port=-1]", "ends with code 1"},
	{"          env:\n            - name: DATABASE_URL\n              valueFrom:\n                secretKeyRef:\n                  name: latchkey\n                  key: DATABASE_URL\n          resources", "          resources", "does not migrate"},
	{"- name: DRAIN_DELAY", "- name: DRAIN_DELAYS", "DRAIN_DELAYS is no setting"},
	{"value: 5s", "value: 5", "refuses to start"},
	{"value: 5s", "value: 20s", "a stop is given 30s"},
	{"terminationGracePeriodSeconds: 30", "terminationGracePeriodSeconds: 15", "a stop is given 15s"},
	{"key: API_KEY", "key: APIKEY", "the Secret has no latchkey/APIKEY"},
	{"name: latchkey\n                  key: DATABASE_URL", "name: postgres\n                  key: DATABASE_URL", "the Secret has no postgres/DATABASE_URL"},
	{"            - name: JWT_SECRET_KEY\n", "            - name: JWT_SECRET_KEY_PREVIOUS\n", "refuses to start"},
	{"                  key: JWT_SECRET_KEY\n                  optional: true\n", "                  key: JWT_SECRET_KEY\n", "refuses to start"},
	{"                  key: API_KEY\n                  optional: true\n", "                  key: API_KEY\n", "optional is false of API_KEY"},
	{"                  key: MASTER_KEY_PREVIOUS\n                  optional: true\n", "                  key: MASTER_KEY_PREVIOUS\n", "the Secret has no latchkey/MASTER_KEY_PREVIOUS"},
	{"            - name: JWT_SECRET_KEY_PREVIOUS\n", "            - name: MASTER_KEY_PREVIOUS\n", "JWT_SECRET_KEY_PREVIOUS does not reach the program"},
	{"            - name: MASTER_KEY_PREVIOUS\n", "            - name: JWT_SECRET_KEY_PREVIOUS\n", "MASTER_KEY_PREVIOUS does not reach the program"},
	{"registry.example.com/latchkey:1.0.0 #", "registry.example.com/latchkey:1.0.1 #", "another image"},
	{"replicas: 2", "replicas: 1", "1 replicas"},
	{"maxUnavailable: 0", "maxUnavailable: 1", "takes instances away"},
	{"      app.kubernetes.io/name: latchkey\n  strategy", "      app: latchkey\n  strategy", "the Deployment selects"},
	{"              app.kubernetes.io/name: latchkey\n      init", "              app: latchkey\n      init", "the spread selects"},
	{"automountServiceAccountToken: false", "automountServiceAccountToken: true", "token of the cluster"},
	{"      automountServiceAccountToken: false\n", "", "token of the cluster"},
	{"runAsNonRoot: true", "runAsNonRoot: false", "root"},
	{"runAsUser: 65532", "runAsUser: 1000", "user 1000"},
	{"type: RuntimeDefault", "type: Unconfined", "system calls"},
	{"readOnlyRootFilesystem: true", "readOnlyRootFilesystem: false", "hardened"},
	{"readOnlyRootFilesystem:", "readOnlyRootFileSystem:", "not found in type"},
	{"allowPrivilegeEscalation: false", "allowPrivilegeEscalation: true", "hardened"},
	{"            allowPrivilegeEscalation: false\n", "", "hardened"},
	{"drop: [ALL]", "drop: [NET_RAW]", "hardened"},
	{"memory: 512Mi", "memory: 32Mi", "memory"},
	{"            limits:\n              memory: 512Mi\n", "", "memory"},
}

// TestKubernetes compares the manifests with what the built program serves and needs.
func TestKubernetes(t *testing.T) {
	const folder = "deploy/kubernetes/"
	c := cluster{t: t, bin: harness.BuildBinary(t), ran: map[string]string{}}
	c.start()
	texts := map[string]string{}
	for _, name := range []string{"deployment.yaml", "service.yaml", "poddisruptionbudget.yaml", "networkpolicy.yaml", "secret.yaml.example"} {
		texts[name] = harness.ReadFile(t, folder+name)
	}
	check := func(name string) func(string) problems {
		return func(text string) problems {
			changed := maps.Clone(texts)
			changed[name] = text
			m, err := readManifests(changed)
			if err != nil {
				return problems{err.Error()}
			}
			return m.problems(&c)
		}
	}
	for name, mutations := range map[string][]mutation{
		"deployment.yaml": deploymentMutations,
		"service.yaml": {
			{"targetPort: http", "targetPort: https", "no port is named https"},
			{"targetPort: http", "targetPort: ops", "leads to 9464"},
			{"  selector:\n    app.kubernetes.io/name: latchkey", "  selector:\n    app: latchkey", "the Service selects"},
			{"  selector:\n    app.kubernetes.io/name: latchkey\n", "", "the Service selects"},
		},
		"poddisruptionbudget.yaml": {
			{"      app.kubernetes.io/name: latchkey", "      app: latchkey", "the PodDisruptionBudget selects"},
			{"maxUnavailable: 1", "maxUnavailable: 2", "the PodDisruptionBudget lets 2"},
			{"maxUnavailable: 1", "maxUnavailable: 0", "the PodDisruptionBudget lets 0"},
			{"policy/v1", "policy/v1beta1", "policy/v1beta1"},
		},
		"networkpolicy.yaml": {
			{"      app.kubernetes.io/name: latchkey\n  policy", "      app: latchkey\n  policy", "the NetworkPolicy selects"},
			{"[Ingress]", "[Egress]", "is one for [Egress]"},
			{"- port: http", "- port: web", "no port is named web"},
			{"    - ports:\n        - port: http\n", "", "closes the API"},
			{"              kubernetes.io/metadata.name: monitoring # yours\n", "              {}\n", "to everybody"},
			{"    - from:\n        - namespaceSelector:\n            matchLabels:\n              kubernetes.io/metadata.name: monitoring # yours\n      ports", "    - ports", "to everybody"},
			{"      ports:\n        - port: ops\n", "", "opens every port"},
			{"- port: ops", "- port: http", "keeps Prometheus out"},
			{"- port: http", "- port: http\n        - port: ops", "to everybody"},
			{"namespaceSelector", "namespaceSelectors", "not found in type"},
		},
		"secret.yaml.example": {
			{"replace-me-with-64-random-characters", "8d4f0c1de5a39b27c6e2f7a90b1d3c5e", "JWT_SECRET_KEY could be used"},
			{"replace-me-with-the-shared-api-key", "0d3ee7d02a6f16c1", "API_KEY could be used"},
			{"cmVwbGFjZS1tZS13aXRoLTMyLXJhbmRvbS1ieXRlcyE=", "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=", "MASTER_KEY could be used"},
			{"DATABASE_URL: postgres:", "DATABASE_URL: mysql:", "DATABASE_URL"},
			{"  API_KEY:", "  APIKEY:", "the Secret has no latchkey/API_KEY"},
			{"  # MASTER_KEY_PREVIOUS:", "  # MASTERKEY_PREVIOUS:", "the Secret has no latchkey/MASTER_KEY_PREVIOUS"},
		},
	} {
		seen(t, name, texts[name], mutations, check(name))
	}

	whole, err := readManifests(texts)
	if err != nil {
		t.Fatal(err)
	}
	checkRegisteredAlone(t, c.bin, whole.leastEnv(&c, whole.deployment.Spec.Template.Spec.Containers[0]))

	// kubectl applies every YAML file of a folder: an example Secret would replace the real one.
	applied, err := filepath.Glob("../" + folder + "*.y*ml")
	if err != nil {
		t.Fatal(err)
	}
	for i, path := range applied {
		applied[i] = filepath.Base(path)
	}
	if want := []string{"deployment.yaml", "networkpolicy.yaml", "poddisruptionbudget.yaml", "service.yaml"}; !slices.Equal(applied, want) {
		t.Errorf("kubectl applies %v, want %v", applied, want)
	}
}

// cluster is the program as the manifests run it, with other addresses and secrets.
type cluster struct {
	t                *testing.T
	bin              string
	secrets          map[string]string
	healthy, cut     *harness.Process  // cut has no store any more
	ran              map[string]string // results of init containers, by their arguments
	apiPort, opsPort string
}

func (c *cluster) start() {
	t := c.t
	databaseURL, db := harness.NewDatabase(t)
	c.secrets = harness.SecretEnv(harness.FreshSecrets(), databaseURL)
	defaults, _ := harness.ReadSettings(t, c.bin, nil)
	if defaults["HOST"] != "0.0.0.0" {
		t.Errorf("in the image the program listens on %s, where no probe reaches it", defaults["HOST"])
	}
	c.apiPort = defaults["PORT"]
	c.opsPort = harness.FirstMatch(t, defaults["OPS_ADDR"], `^0\.0\.0\.0:(\d+)$`)

	c.healthy = c.launch(databaseURL)
	lostURL, lost := harness.NewDatabase(t)
	c.cut = c.launch(lostURL)
	name := harness.QueryText(t, lost, "SELECT current_database()")
	for _, statement := range []string{
		"ALTER DATABASE " + name + " ALLOW_CONNECTIONS false",
		"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '" + name + "'",
	} {
		if _, err := db.Exec(statement); err != nil {
			t.Fatal(err)
		}
	}
	harness.Eventually(t, harness.StartTimeout, "/readyz is 503", func() bool { return c.status(c.cut, c.apiPort, "/readyz") == http.StatusServiceUnavailable })
}

func (c *cluster) launch(databaseURL string) *harness.Process {
	env := harness.ReadDockerfile(c.t).Env
	maps.Copy(env, c.secrets)
	maps.Copy(env, map[string]string{"DATABASE_URL": databaseURL, "HOST": "127.0.0.1", "PORT": "0", "OPS_ADDR": "127.0.0.1:0", "DRAIN_DELAY": "0s"})
	p := harness.Launch(c.t, c.bin, c.t.TempDir(), env)
	p.WaitReady(c.t)
	return p
}

// status is the answer of p at this port of the manifests; 0 where the program does not listen.
func (c *cluster) status(p *harness.Process, port, path string) int {
	url, found := map[string]string{c.apiPort: p.URL, c.opsPort: p.OpsURL}[port]
	if !found {
		return 0
	}
	resp, err := harness.HTTPClient.Get(url + path)
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	return resp.StatusCode
}

// migrates runs an init container on an empty database, and again as the next pod does. It gives "", or the problem.
func (c *cluster) migrates(args []string, env map[string]string) string {
	key := fmt.Sprint(args, slices.Sorted(maps.Keys(env)))
	if _, done := c.ran[key]; !done {
		c.ran[key] = c.migration(args, env)
	}
	return c.ran[key]
}

func (c *cluster) migration(args []string, env map[string]string) string {
	databaseURL, db := harness.NewDatabase(c.t)
	all := harness.ReadDockerfile(c.t).Env
	all["DATABASE_URL"] = "sqlite:latchkey.db" // the image's default
	maps.Copy(all, env)
	if _, set := env["DATABASE_URL"]; set {
		all["DATABASE_URL"] = databaseURL
	}
	for range 2 {
		if _, stderr, code := harness.RunCommand(c.t, c.bin, c.t.TempDir(), all, args...); code != 0 {
			return fmt.Sprintf("ends with code %d: %s", code, stderr)
		}
	}
	if harness.QueryText(c.t, db, "SELECT coalesce(to_regclass('accounts')::text, '')") == "" {
		return "does not migrate an empty database"
	}
	return ""
}
