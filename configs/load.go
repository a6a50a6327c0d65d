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

// Sources are the layers of Load besides the environment.
type Sources struct {
	// Dir is the folder of .env; "" is the working directory.
	Dir string
	// Flags are the given flags by the name of their setting ("PORT"), CONFIG_FILE included.
	Flags map[string]string
	// Only are the settings that the caller uses; empty means all. The others keep their defaults: their values are not checked,
	// and their files not read.
	Only []string
}

// Loaded is a configuration, with the layer of each setting.
type Loaded struct {
	Config Config
	// Settings are all settings, or those of Sources.Only, in the order of the table. A setting with a wrong value has its
	// default here.
	Settings []Setting
	// Ignored are the names in .env that are no settings of ours, in the order of the file.
	Ignored []Setting

	dir    string
	faulty map[string]bool
}

// given is a value in one layer.
type given struct{ text, layer string }

// layer is the values of one layer, by setting.
type layer map[string]given

// loader collects problems while the layers are read.
type loader struct {
	Sources
	rows     []setting
	problems Problems
	faulty   map[string]bool
	ignored  []Setting
}

// Load reads all layers. The error is Problems: what is wrong with a single value, file or line. Config.Validate finds what is wrong
// between them. Loaded is never nil, so that both can be reported together.
func Load(src Sources) (*Loaded, error) {
	l := &loader{Sources: src, rows: settings(), faulty: map[string]bool{}}
	loaded := l.load()
	return loaded, l.problems.asError()
}

// LoadAndValidate is Load and then Config.Validate, with the problems of both. A setting that is wrong by itself is not reported
// again in combination with others.
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
		panic(err) // the file is in the binary
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

// set parses the winning value. A wrong one is a problem, and leaves the default.
func (l *loader) set(c *Config, row setting, value given) bool {
	switch {
	case row.secret && strings.TrimSpace(value.text) != value.text:
		signers := ""
		if row.name == "API_KEY" || strings.HasPrefix(row.name, "JWT_") {
			signers = ", also where tokens are signed"
		}
		l.fault(row.name, row.name+" has white space at an end: remove it"+signers+" (from "+value.layer+")")
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

// fault records a problem with a setting, which is not reported again.
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

// appEnv finds APP_ENV, which selects the files. Its value is checked later, with the others.
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
