package configs

import "strings"

const aboutConfigFile = "a YAML file with settings, by their names in lower case; counts less than .env and the environment"

const templateHeader = `# The settings of Latchkey, for development. "latchkey init" makes a .env of this with secrets of its own, and so does
# the first start. To do it by hand, copy this file to .env and replace the secrets. Production does not read .env.
#
# One NAME=value a line. Quotes around the whole value are taken off; nothing else in a value has a meaning. A variable
# of the environment beats its line here. NAME_FILE=path instead of NAME=value takes the value from a file. Names that are
# no settings of Latchkey, such as those for compose, are ignored; "latchkey config" lists them.
# The text of this file comes from configs/settings.go: go test ./configs -update
`

// Template is the content of .env.template: every setting with its meaning and default, in the order of the table. Required secrets
// have placeholders, which work in development and are refused in production.
func Template() string {
	placeholders := map[string]string{}
	for _, row := range settings() {
		if row.placeholder != "" {
			placeholders[row.name] = row.placeholder
		}
	}
	return fill(placeholders)
}

// fill is the template with the given values set and every other setting commented out.
func fill(values map[string]string) string {
	var b strings.Builder
	b.WriteString(templateHeader)
	add := func(name, about, fallback string) {
		b.WriteString("\n# " + about + "\n")
		if value, ok := values[name]; ok {
			b.WriteString(name + "=" + value + "\n")
			return
		}
		b.WriteString("# " + name + "=" + fallback + "\n")
	}
	for _, row := range settings() {
		add(row.name, row.about, row.fallback)
	}
	add(nameConfigFile, aboutConfigFile, "")
	return b.String()
}
