package configs

import (
	"embed"
	"maps"
	"path/filepath"
	"slices"
	"strings"
)

//go:embed development.yaml production.yaml
var embedded embed.FS

const (
	layerDefault   = "default"
	nameConfigFile = "CONFIG_FILE"
)

// Sources says where Load finds its layers besides the environment.
type Sources struct {
	// Dir is the folder of .env; "" is the working directory.
	Dir string
	// Flags holds the flags that were given, by the name of their setting ("PORT"), CONFIG_FILE among them.
	Flags map[string]string
	// Only names the settings that the caller uses. The others keep their defaults, nothing is said of their values,
	// and files with their values are not read. Empty means all.
	Only []string
}

// Loaded is a configuration and where each part of it comes from.
type Loaded struct {
	Config Config
	// Settings has every setting, or those of Sources.Only, in the order of the table. A setting whose value did not
	// parse stands there with its default.
	Settings []Setting
	// Ignored has the names in .env that are no settings of ours, in the order of the file.
	Ignored []Setting

	dir    string
	faulty map[string]bool
}

// given is a value as one layer gives it.
type given struct{ text, layer string }

// layer is the values that one layer gives, by setting.
type layer map[string]given

// loader collects problems while the layers are read.
type loader struct {
	Sources
	rows     []setting
	problems Problems
	faulty   map[string]bool
	ignored  []Setting
}

// Load reads all layers. The error is Problems: everything that one value, one file or one line alone shows to be
// wrong; Config.Validate has the rest. Loaded is there also with an error, so that both can be reported together.
func Load(src Sources) (*Loaded, error) {
	l := &loader{Sources: src, rows: settings(), faulty: map[string]bool{}}
	loaded := l.load()
	return loaded, l.problems.asError()
}

// LoadAndValidate is Load and then Config.Validate, with the problems of both in one Problems. Nothing is said about
// the combination of a value that is already a problem by itself.
func LoadAndValidate(src Sources) (*Loaded, error) {
	l := &loader{Sources: src, rows: settings(), faulty: map[string]bool{}}
	loaded := l.load()
	return loaded, append(l.problems, loaded.Config.validate(loaded.faulty)...).asError()
}

func (l *loader) load() *Loaded {
	flags := l.flags()
	env := l.environment()
	production := l.appEnv(flags, env) == Production

	var dotenv layer
	if !production {
		dotenv = l.dotenv(env)
	}
	base := string(Development)
	if production {
		base = string(Production)
	}
	content, err := embedded.ReadFile(base + ".yaml")
	if err != nil {
		panic(err) // the file is part of the binary
	}
	layers := []layer{l.yaml("configs/"+base+".yaml", content), l.configFile(flags, env, dotenv), dotenv, env, flags}

	loaded := &Loaded{Ignored: l.ignored, dir: l.Dir, faulty: l.faulty}
	for _, row := range l.rows {
		row.set(&loaded.Config, row.fallback)
		value := given{row.fallback, layerDefault}
		for _, each := range layers {
			if later, ok := each[row.name]; ok {
				value = later
			}
		}
		if !l.uses(row.name) {
			continue
		}
		if value.layer != layerDefault && !l.set(&loaded.Config, row, value) {
			value = given{row.fallback, layerDefault}
		}
		loaded.Settings = append(loaded.Settings, row.listed(value))
	}
	return loaded
}

// set parses the value that won. What does not parse is a problem and leaves the default in place.
func (l *loader) set(c *Config, row setting, value given) bool {
	switch {
	case row.secret && strings.TrimSpace(value.text) != value.text:
		signers := ""
		if row.name == "API_KEY" || strings.HasPrefix(row.name, "JWT_") {
			signers = ", also where tokens are signed"
		}
		l.fault(row.name, row.name+" has white space at an end: take it off"+signers+" (from "+value.layer+")")
		return false
	case value.text == "" && !row.optional:
		l.fault(row.name, row.name+" is empty: unset it or give "+row.want+" (from "+value.layer+")")
		return false
	case !row.set(c, value.text):
		l.fault(row.name, row.name+" must be "+row.want+" (from "+value.layer+")")
		return false
	}
	return true
}

// fault records a problem with the value of a setting, about which nobody then says anything more.
func (l *loader) fault(name, sentence string) {
	l.problem(sentence)
	l.faulty[name] = true
}

func (l *loader) problem(sentence string) { l.problems = append(l.problems, sentence) }

func (l *loader) uses(name string) bool {
	return len(l.Only) == 0 || slices.Contains(l.Only, name) || name == nameAppEnv
}

// flags is the layer of the command line.
func (l *loader) flags() layer {
	flags := layer{}
	for _, name := range slices.Sorted(maps.Keys(l.Flags)) {
		row, known := l.row(name)
		if name != nameConfigFile && (!known || row.secret) {
			l.problem("there is no flag " + flagName(name))
			continue
		}
		flags[name] = given{l.Flags[name], "flag " + flagName(name)}
	}
	return flags
}

// appEnv finds out which files count; whether the value is acceptable is said later, with the others.
func (l *loader) appEnv(flags, env layer) Environment {
	value, ok := flags[nameAppEnv]
	if !ok {
		value = env[nameAppEnv]
	}
	return Environment(value.text)
}

// configFile is the layer of the file in CONFIG_FILE, which a flag, the environment or .env may name.
func (l *loader) configFile(flags, env, dotenv layer) layer {
	var path given
	for _, each := range []layer{dotenv, env, flags} {
		if later, ok := each[nameConfigFile]; ok {
			path = later
		}
	}
	switch {
	case path.layer == "":
		return nil
	case path.text == "":
		l.problem("CONFIG_FILE is empty: unset it or give the path of a YAML file (from " + path.layer + ")")
		return nil
	}
	content, reason := readFile(path.text)
	if reason != "" {
		l.problem("CONFIG_FILE names a file that " + reason + ": " + path.text + " (from " + path.layer + ")")
		return nil
	}
	return l.yaml(path.text, content)
}

func (l *loader) row(name string) (setting, bool) {
	i := slices.IndexFunc(l.rows, func(s setting) bool { return s.name == name })
	if i < 0 {
		return setting{}, false
	}
	return l.rows[i], true
}

// dotenvPath is .env in dir.
func dotenvPath(dir string) string { return filepath.Join(dir, dotenvName) }
