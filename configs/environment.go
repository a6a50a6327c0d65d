package configs

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"reflect"
	"strings"

	"github.com/ilyakaznacheev/cleanenv"
)

// variable keeps what cleanenv reads, unparsed, so that cleanenv cannot fail on a value or print it. The setting's own parser runs
// later. It is empty if the variable is not set; otherwise it has one element, which may be "".
type variable []string

// SetValue makes variable a cleanenv.Setter.
func (v *variable) SetValue(text string) error {
	*v = variable{text}
	return nil
}

// environment is the layer of the environment variables.
func (l *loader) environment() layer {
	var fields []reflect.StructField
	add := func(name string) {
		fields = append(fields, tagged(name, reflect.TypeFor[variable](), `env:"`+name+`"`))
	}
	add(nameConfigFile)
	for _, row := range l.rows {
		add(row.name)
		if name, ok := row.fileVariable(); ok {
			add(name)
		}
	}
	found := reflect.New(reflect.StructOf(fields))
	if err := cleanenv.ReadEnv(found.Interface()); err != nil {
		l.problem("the environment could not be read")
		return layer{}
	}
	set := map[string]given{}
	for field, value := range found.Elem().Fields() {
		if text, ok := reflect.TypeAssert[variable](value); ok && len(text) == 1 {
			set[field.Name] = given{text[0], "environment " + field.Name}
		}
	}
	return l.resolve(set)
}

// Describe is the help of the command line about environment variables.
func Describe() string {
	fields := []reflect.StructField{
		tagged(nameConfigFile, reflect.TypeFor[string](), `env:"`+nameConfigFile+`" env-description:"`+aboutConfigFile+`"`),
	}
	for _, row := range settings() {
		tag := `env:"` + row.name + `" env-description:"` + row.about + `"`
		if row.fallback != "" {
			tag += ` env-default:"` + row.fallback + `"`
		}
		fields = append(fields, tagged(row.name, reflect.TypeFor[string](), tag))
	}
	header := "Environment variables (NAME_FILE instead of NAME gives a file that holds the value):"
	text, err := cleanenv.GetDescription(reflect.New(reflect.StructOf(fields)).Interface(), &header)
	if err != nil {
		panic(err) // only for what is not a struct
	}
	return text
}

// tagged is a field for cleanenv.
func tagged(name string, of reflect.Type, tag string) reflect.StructField {
	return reflect.StructField{Name: name, Type: of, Tag: reflect.StructTag(tag)}
}

// resolve turns variables into settings; NAME_FILE becomes the content of its file. It leaves out unused settings.
func (l *loader) resolve(set map[string]given) layer {
	resolved := layer{}
	for _, row := range l.rows {
		value, direct := set[row.name]
		name, ok := row.fileVariable()
		file, indirect := set[name]
		// Empty counts as unset: compose turns "${NAME_FILE:-}" into "" if nobody sets it.
		indirect = indirect && ok && file.text != ""
		// An empty variable beside its file counts as unset: a variable that an image or a compose file sets can be emptied but
		// not unset.
		direct = direct && (value.text != "" || !indirect)
		switch {
		case !l.uses(row.name) || !direct && !indirect:
			continue
		case direct && indirect:
			l.fault(row.name, "both "+row.name+" and "+name+" are set: unset one of them (from "+value.layer+" and "+file.layer+")")
			continue
		case indirect:
			text, reason := valueIn(file.text)
			if reason != "" {
				l.fault(row.name, name+" names a file that "+reason+" (from "+file.layer+")")
				continue
			}
			value = given{text, file.layer}
		}
		resolved[row.name] = value
	}
	if value, ok := set[nameConfigFile]; ok && value.text != "" {
		resolved[nameConfigFile] = value
	}
	return resolved
}

// valueIn reads a value from a file, without the newline at its end. It never prints the path: it may be the secret itself, by
// mistake.
func valueIn(path string) (text, reason string) {
	content, reason := readFile(path)
	if reason != "" {
		return "", reason
	}
	text, ended := strings.CutSuffix(string(content), "\n")
	if ended {
		text = strings.TrimSuffix(text, "\r")
	}
	if text == "" {
		return "", "is empty"
	}
	return text, ""
}

// maxFile is far more than a file with settings needs.
const maxFile = 1 << 20

// readFile reads a small file. Its problem completes "a file that ".
func readFile(path string) (content []byte, reason string) {
	f, err := os.Open(path)
	if err != nil {
		return nil, because(err)
	}
	defer func() { _ = f.Close() }()
	content, err = io.ReadAll(io.LimitReader(f, maxFile+1))
	switch {
	case err != nil:
		return nil, because(err)
	case len(content) > maxFile:
		return nil, "is larger than 1 MiB"
	}
	return content, ""
}

func because(err error) string {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "does not exist"
	case errors.Is(err, fs.ErrPermission):
		return "may not be read by this user"
	default:
		return "cannot be read"
	}
}
