package integration

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/latchkey-api/latchkey/integration/harness"
)

// manifests has the fields that deploy/kubernetes may use: see DecodeYAML.
type manifests struct {
	deployment deployment
	service    struct {
		manifest `yaml:",inline"`
		Spec     struct {
			Selector map[string]string
			Ports    []struct {
				Name       string
				Port       int
				TargetPort string `yaml:"targetPort"`
			}
		}
	}
	budget struct {
		manifest `yaml:",inline"`
		Spec     struct {
			MaxUnavailable int `yaml:"maxUnavailable"`
			Selector       labelSelector
		}
	}
	network networkPolicy
	secret  struct {
		manifest   `yaml:",inline"`
		Type       string
		StringData map[string]string `yaml:"stringData"`
	}
	// commented are the keys of the Secret that are comments.
	commented []string
}

type manifest struct {
	APIVersion string `yaml:"apiVersion"`
	Kind       string
	Metadata   metadata
}

type metadata struct {
	Name   string
	Labels map[string]string
}

type labelSelector struct {
	MatchLabels map[string]string `yaml:"matchLabels"`
}

type deployment struct {
	manifest `yaml:",inline"`
	Spec     struct {
		Replicas int
		Selector labelSelector
		Strategy struct {
			Type          string
			RollingUpdate struct {
				MaxUnavailable *int `yaml:"maxUnavailable"`
				MaxSurge       int  `yaml:"maxSurge"`
			} `yaml:"rollingUpdate"`
		}
		Template struct {
			Metadata metadata
			Spec     podSpec
		}
	}
}

type podSpec struct {
	AutomountToken *bool `yaml:"automountServiceAccountToken"`
	ServiceLinks   *bool `yaml:"enableServiceLinks"`
	GracePeriod    int   `yaml:"terminationGracePeriodSeconds"`
	Security       struct {
		NonRoot bool                  `yaml:"runAsNonRoot"`
		User    string                `yaml:"runAsUser"`
		Group   string                `yaml:"runAsGroup"`
		Seccomp struct{ Type string } `yaml:"seccompProfile"`
	} `yaml:"securityContext"`
	Spread []struct {
		MaxSkew       int           `yaml:"maxSkew"`
		TopologyKey   string        `yaml:"topologyKey"`
		Unsatisfiable string        `yaml:"whenUnsatisfiable"`
		Selector      labelSelector `yaml:"labelSelector"`
	} `yaml:"topologySpreadConstraints"`
	Init       []podContainer `yaml:"initContainers"`
	Containers []podContainer
}

type podContainer struct {
	Name  string
	Image string
	Args  []string
	Env   []struct {
		Name, Value string
		From        struct {
			Secret secretRef `yaml:"secretKeyRef"`
		} `yaml:"valueFrom"`
	}
	Ports []struct {
		Name   string
		Number int `yaml:"containerPort"`
	}
	Startup   *probe `yaml:"startupProbe"`
	Liveness  *probe `yaml:"livenessProbe"`
	Readiness *probe `yaml:"readinessProbe"`
	Resources struct {
		Requests, Limits struct{ CPU, Memory string }
	}
	Security struct {
		Escalation   *bool `yaml:"allowPrivilegeEscalation"`
		ReadOnlyRoot bool  `yaml:"readOnlyRootFilesystem"`
		Capabilities struct{ Drop []string }
	} `yaml:"securityContext"`
}

type secretRef struct {
	Name, Key string
	Optional  bool
}

type probe struct {
	Get struct {
		Path string
		Port string
	} `yaml:"httpGet"`
	Period   int `yaml:"periodSeconds"`
	Timeout  int `yaml:"timeoutSeconds"`
	Failures int `yaml:"failureThreshold"`
}

func readManifests(texts map[string]string) (*manifests, error) {
	var m manifests
	for _, file := range []struct {
		name, is string
		into     any
		head     *manifest
	}{
		{"deployment.yaml", "apps/v1 Deployment", &m.deployment, &m.deployment.manifest},
		{"service.yaml", "v1 Service", &m.service, &m.service.manifest},
		{"poddisruptionbudget.yaml", "policy/v1 PodDisruptionBudget", &m.budget, &m.budget.manifest},
		{"networkpolicy.yaml", "networking.k8s.io/v1 NetworkPolicy", &m.network, &m.network.manifest},
		{"secret.yaml.example", "v1 Secret", &m.secret, &m.secret.manifest},
	} {
		if err := harness.DecodeYAML(texts[file.name], file.into); err != nil {
			return nil, fmt.Errorf("%s: %w", file.name, err)
		}
		if is := file.head.APIVersion + " " + file.head.Kind; is != file.is {
			return nil, fmt.Errorf("%s is a %s, want %s", file.name, is, file.is)
		}
	}
	for _, match := range regexp.MustCompile(`(?m)^  # ([A-Z_]+): `).FindAllStringSubmatch(texts["secret.yaml.example"], -1) {
		m.commented = append(m.commented, match[1])
	}
	return &m, nil
}

func (m *manifests) problems(c *cluster) problems {
	var found problems
	spec, pod := m.deployment.Spec, m.deployment.Spec.Template.Spec
	if len(pod.Init) != 1 || len(pod.Containers) != 1 || len(pod.Spread) != 1 || len(m.service.Spec.Ports) != 1 {
		return problems{"want one init container, one container, one spread and one port of the Service"}
	}
	migrate, serve := pod.Init[0], pod.Containers[0]

	for who, selected := range map[string]map[string]string{
		"Deployment": spec.Selector.MatchLabels, "Service": m.service.Spec.Selector,
		"PodDisruptionBudget": m.budget.Spec.Selector.MatchLabels, "NetworkPolicy": m.network.Spec.Pods.MatchLabels,
		"spread": pod.Spread[0].Selector.MatchLabels,
	} {
		found.unless(len(selected) > 0 && maps.Equal(selected, spec.Template.Metadata.Labels),
			"the %s selects %v, and the pods are %v", who, selected, spec.Template.Metadata.Labels)
	}
	rolling := spec.Strategy.RollingUpdate
	found.unless(spec.Replicas >= 2, "%d replicas", spec.Replicas)
	found.unless(rolling.MaxUnavailable != nil && *rolling.MaxUnavailable == 0 && rolling.MaxSurge > 0,
		"an update takes instances away before it brings new ones")
	found.unless(m.budget.Spec.MaxUnavailable == 1, "the PodDisruptionBudget lets %d of %d go", m.budget.Spec.MaxUnavailable, spec.Replicas)
	port := serve.port(m.service.Spec.Ports[0].TargetPort, &found)
	found.unless(port == c.apiPort, "the Service leads to %s, and the API is at %s", port, c.apiPort)

	m.network.check(c, serve, &found)
	pod.checkSecurity(harness.ReadDockerfile(c.t).User, &found)
	found.unless(migrate.Image == serve.Image, "the init container has another image: %s", migrate.Image)
	serve.checkProbes(c, &found)
	settings := found.checkEnv(c.t, c.bin, serve.Name, m.env(c, serve, &found))
	for name := range c.secrets {
		found.unless(settings[name] != "", "%s: %s does not reach the program", serve.Name, name)
	}
	found.checkEnv(c.t, c.bin, serve.Name+" without what is optional", m.leastEnv(c, serve))
	for _, variable := range serve.Env {
		ref := variable.From.Secret
		found.unless(ref.Name == "" || ref.Optional != (ref.Key == "DATABASE_URL"), "%s: optional is %v of %s", serve.Name, ref.Optional, ref.Key)
	}
	found.checkStop(c.t, serve.Name, time.Duration(pod.GracePeriod)*time.Second, settings)
	env := m.env(c, migrate, &found)
	found.checkNames(migrate.Name, env, settings)
	wrong := c.migrates(migrate.Args, env)
	found.unless(wrong == "", "the init container %s", wrong)
	m.checkExample(c, &found)
	return found
}

// env is the environment of a container, with new secrets.
func (m *manifests) env(c *cluster, container podContainer, found *problems) map[string]string {
	env := map[string]string{}
	for _, variable := range container.Env {
		env[variable.Name] = variable.Value
		ref := variable.From.Secret
		if ref.Name == "" {
			continue
		}
		_, held := m.secret.StringData[ref.Key]
		held = held || ref.Optional && slices.Contains(m.commented, ref.Key)
		found.unless(held && ref.Name == m.secret.Metadata.Name, "the Secret has no %s/%s", ref.Name, ref.Key)
		env[variable.Name] = c.secrets[ref.Key]
	}
	return env
}

// leastEnv is env where the Secret has only the required keys.
func (m *manifests) leastEnv(c *cluster, container podContainer) map[string]string {
	env := m.env(c, container, &problems{})
	for _, variable := range container.Env {
		if variable.From.Secret.Optional {
			delete(env, variable.Name)
		}
	}
	return env
}

// port is the number of a port that a manifest gives as a number or a name.
func (p podContainer) port(port string, found *problems) string {
	for _, known := range p.Ports {
		if known.Name == port || strconv.Itoa(known.Number) == port {
			return strconv.Itoa(known.Number)
		}
	}
	found.unless(false, "no port is named %s", port)
	return ""
}

// checkProbes sends the request of each probe to the program, with its store and without.
func (p podContainer) checkProbes(c *cluster, found *problems) {
	for _, port := range p.Ports {
		number := strconv.Itoa(port.Number)
		found.unless(number == c.apiPort || number == c.opsPort, "nothing listens on %s", number)
	}
	for _, row := range []struct {
		name    string
		probe   *probe
		without int    // the answer without the store
		or      string // what happens with another
	}{
		{"startup", p.Startup, 200, "restarts it for a fault of its store"},
		{"liveness", p.Liveness, 200, "restarts it for a fault of its store"},
		{"readiness", p.Readiness, 503, "sends requests to it that it cannot answer"},
	} {
		if row.probe == nil {
			found.unless(false, "there is no %s probe", row.name)
			continue
		}
		port, path := p.port(row.probe.Get.Port, found), row.probe.Get.Path
		status := c.status(c.healthy, port, path)
		found.unless(status == 200, "the %s probe: %s answers %d at %s", row.name, path, status, port)
		found.unless(c.status(c.cut, port, path) == row.without, "the %s probe %s", row.name, row.or)
		found.unless(row.probe.Timeout > 1, "the %s probe waits %d s: the service gives its store one second", row.name, row.probe.Timeout)
		found.unless(row.probe.Period > 0 && row.probe.Failures > 0, "the %s probe leaves its times to the cluster", row.name)
	}
}

// checkSecurity: a container may do only what the program needs.
func (p podSpec) checkSecurity(user string, found *problems) {
	found.unless(p.AutomountToken != nil && !*p.AutomountToken, "the pod holds a token of the cluster")
	found.unless(p.ServiceLinks != nil && !*p.ServiceLinks, "every Service of the namespace adds variables")
	found.unless(p.Security.NonRoot, "the pod may run as root")
	found.unless(p.Security.User == user && p.Security.Group == user, "the pod runs as user %s, and the image is made for %s", p.Security.User, user)
	found.unless(p.Security.Seccomp.Type == "RuntimeDefault", "the pod may make all system calls")
	for _, container := range append(slices.Clone(p.Init), p.Containers...) {
		s := container.Security
		found.unless(s.Escalation != nil && !*s.Escalation && s.ReadOnlyRoot && slices.Equal(s.Capabilities.Drop, []string{"ALL"}),
			"%s is not hardened: %+v", container.Name, s)
		requested, limit := mebibytes(container.Resources.Requests.Memory), mebibytes(container.Resources.Limits.Memory)
		found.unless(requested > 0 && limit >= requested && container.Resources.Requests.CPU != "", "%s: memory %d MiB, at most %d MiB", container.Name, requested, limit)
	}
}

func mebibytes(quantity string) int {
	number, _ := strconv.Atoi(strings.TrimSuffix(quantity, "Mi")) // 0 where it is no number, which is refused
	return number
}

// checkExample: the example has every key that the Deployment needs, and no usable secret.
func (m *manifests) checkExample(c *cluster, found *problems) {
	_, refused := harness.ReadSettings(c.t, c.bin, m.secret.StringData)
	for name := range m.secret.StringData {
		if name == "DATABASE_URL" { // a valid form, without a server
			found.unless(!strings.Contains(refused, name), "the example's %s: %s", name, refused)
			continue
		}
		found.unless(strings.Contains(refused, name+" is a placeholder"), "the example's %s could be used", name)
	}
}
