package integration

import "slices"

// networkPolicy decides who may connect to the pods.
type networkPolicy struct {
	manifest `yaml:",inline"`
	Spec     struct {
		Pods    labelSelector `yaml:"podSelector"`
		Types   []string      `yaml:"policyTypes"`
		Ingress []struct {
			From []struct {
				Namespaces labelSelector `yaml:"namespaceSelector"`
			}
			Ports []struct{ Port string }
		}
	}
}

// check: everybody may reach the API, only named namespaces the operations address. In Kubernetes a rule without ports opens
// every port, and an empty "from" or selector means everybody.
func (n *networkPolicy) check(c *cluster, serve podContainer, found *problems) {
	found.unless(slices.Equal(n.Spec.Types, []string{"Ingress"}), "the NetworkPolicy is one for %v", n.Spec.Types)
	open := map[string]bool{}
	for _, rule := range n.Spec.Ingress {
		everybody := len(rule.From) == 0
		for _, from := range rule.From {
			everybody = everybody || len(from.Namespaces.MatchLabels) == 0
		}
		found.unless(len(rule.Ports) > 0, "a rule of the NetworkPolicy opens every port")
		for _, port := range rule.Ports {
			number := serve.port(port.Port, found)
			open[number] = open[number] || everybody
		}
	}
	public, named := open[c.apiPort]
	found.unless(named && public, "the NetworkPolicy closes the API")
	public, named = open[c.opsPort]
	found.unless(named, "the NetworkPolicy keeps Prometheus out")
	found.unless(!public, "the NetworkPolicy opens the operations address to everybody")
}
