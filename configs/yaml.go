package configs

import (
	"bytes"
	"errors"
	"io"
	"regexp"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// yaml is the layer of a YAML file: a flat mapping of lower-case names. It is read as nodes, to keep values as they are written, and
// to find unknown and repeated keys.
func (l *loader) yaml(file string, content []byte) layer {
	var document, rest yaml.Node
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	err := decoder.Decode(&document)
	if errors.Is(err, io.EOF) {
		return nil
	}
	if err == nil && !errors.Is(decoder.Decode(&rest), io.EOF) {
		l.problem(file + " must hold one YAML document")
		return nil
	}
	if err != nil {
		l.problem(file + lineOf(err) + " is not valid YAML")
		return nil
	}
	root := document.Content[0]
	if root.Kind == yaml.ScalarNode && root.Tag == "!!null" {
		return nil
	}
	if root.Kind != yaml.MappingNode {
		l.problem(at(file, root.Line) + " must be a list of lines like port: 8000")
		return nil
	}
	values := layer{}
	seen := map[string]bool{}
	for i := 0; i+1 < len(root.Content); i += 2 {
		key, value := root.Content[i], root.Content[i+1]
		l.pair(values, seen, file, key, value)
	}
	return values
}

// pair adds one pair of a YAML file to values.
func (l *loader) pair(values layer, seen map[string]bool, file string, key, value *yaml.Node) {
	where := at(file, key.Line)
	name := strings.ToUpper(key.Value)
	row, known := l.row(name)
	repeated := seen[key.Value]
	seen[key.Value] = true
	switch {
	case key.Kind == yaml.ScalarNode && (key.Value == "app_env" || key.Value == "config_file"):
		l.problem(where + " sets " + key.Value + ", which a YAML file cannot set: set " + name + " in the environment or use " + flagName(name))
	case key.Kind != yaml.ScalarNode || !known || key.Value != row.key():
		l.problem(where + " has an unknown key" + shown(keylike, key.Value))
	case repeated:
		l.problem(where + " sets " + key.Value + " a second time")
	case !l.uses(name):
	default:
		text, ok := scalar(value)
		if !ok && row.list {
			text, ok = sequence(value)
		}
		if !ok {
			l.fault(name, name+" must be "+row.want+", as one plain value (from "+where+")")
			return
		}
		values[name] = given{text, where}
	}
}

// scalar is the text of a plain value. A key without a value is a mistake.
func scalar(node *yaml.Node) (string, bool) {
	return node.Value, node.Kind == yaml.ScalarNode && node.ShortTag() != "!!null" && node.ShortTag() != "!!binary"
}

// sequence is a YAML sequence as text with commas, as in the other layers. So an item with a comma is refused.
func sequence(node *yaml.Node) (string, bool) {
	texts := make([]string, len(node.Content))
	for i, item := range node.Content {
		text, ok := scalar(item)
		if !ok || strings.Contains(text, ",") || strings.TrimSpace(text) == "" {
			return "", false
		}
		texts[i] = text
	}
	return strings.Join(texts, ","), node.Kind == yaml.SequenceNode
}

// at is a line in a file.
func at(file string, line int) string { return file + ":" + strconv.Itoa(line) }

var yamlLine = regexp.MustCompile(`^yaml: line (\d+):`)

// lineOf returns only the line number of an error of the YAML parser, whose text may quote the file.
func lineOf(err error) string {
	if match := yamlLine.FindStringSubmatch(err.Error()); match != nil {
		return ":" + match[1]
	}
	return ""
}

var keylike = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]{0,40}$`)

// shown is an unknown name for the end of a sentence, or nothing if it does not look like a name.
func shown(like *regexp.Regexp, name string) string {
	if !like.MatchString(name) {
		return ""
	}
	return " " + name
}
