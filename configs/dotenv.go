package configs

import (
	"regexp"
	"strings"
	"unicode/utf8"
)

// dotenvName is the name of .env in layers and problems.
const dotenvName = ".env"

// dotenv is the layer of .env. A setting that the environment sets, as NAME or as NAME_FILE, is ignored here, in both spellings.
func (l *loader) dotenv(env layer) layer {
	content, reason := readFile(dotenvPath(l.Dir))
	switch reason {
	case "":
	case "does not exist":
		return nil
	default:
		l.problem(dotenvName + " " + reason)
		return nil
	}
	lines, problems := parseDotenv(content, func(name string) bool {
		_, known := l.settingOf(name)
		return known
	})
	l.problems = append(l.problems, problems...)

	set := map[string]given{}
	for _, line := range lines {
		where := at(dotenvName, line.number)
		name, known := l.settingOf(line.name)
		_, taken := env[name]
		switch {
		case name == nameAppEnv && (line.name != name || line.text != string(Development)):
			l.problem(where + " sets " + line.name + ", but .env counts in development only: set APP_ENV in the environment or use --app-env")
		case !known: // compose and other programs read the file, too
			l.ignored = append(l.ignored, ignoredName(line.name, where))
		case name != "" && name != nameAppEnv && !taken && !l.faulty[name]:
			set[line.name] = given{line.text, where}
		}
	}
	return l.resolve(set)
}

// settingOf returns the setting of a variable NAME or NAME_FILE. Other variables of OpenTelemetry are known, but no settings of
// ours: its library reads them from the environment.
func (l *loader) settingOf(variable string) (name string, known bool) {
	if _, ok := l.row(variable); ok || variable == nameConfigFile {
		return variable, true
	}
	if base, ok := strings.CutSuffix(variable, "_FILE"); ok {
		if row, ok := l.row(base); ok {
			_, ok = row.fileVariable()
			return base, ok
		}
	}
	return "", strings.HasPrefix(variable, "OTEL_")
}

// dotenvLine is NAME=value on one line of .env.
type dotenvLine struct {
	name, text string
	number     int
}

// assignment allows dots and hyphens in names, for those of other programs.
var assignment = regexp.MustCompile(`^(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_.-]*)=(.*)$`)

// parseDotenv reads these lines:
//   - NAME=value, with an optional "export " before it, and optional single or double quotes around the whole value;
//   - blank lines, and lines that begin with "#".
//
// Nothing in a value is special, neither "$" nor a backslash, so that secrets stay as they are. A line that other readers of .env
// understand differently is a problem. The value of an unknown name is not read, so its line is a problem only if a quote stays
// open: then the end of the value is unknown.
func parseDotenv(content []byte, ours func(name string) bool) ([]dotenvLine, Problems) {
	var lines []dotenvLine
	var problems Problems
	seen := map[string]bool{}
	text := strings.TrimPrefix(string(content), "\ufeff")
	number := 0
	for raw := range strings.SplitSeq(text, "\n") {
		number++
		raw = strings.TrimSpace(raw)
		if raw == "" || raw[0] == '#' {
			continue
		}
		where := at(dotenvName, number)
		match := assignment.FindStringSubmatch(raw)
		if match == nil || !utf8.ValidString(raw) || strings.ContainsAny(raw, "\x00\r") {
			problems = append(problems, where+" is not of the form NAME=value")
			continue
		}
		line := dotenvLine{name: match[1], number: number}
		value := strings.TrimSpace(match[2])
		if !ours(line.name) && !staysOpen(value) {
			lines = append(lines, line)
			continue
		}
		var reason string
		line.text, reason = unquote(value)
		switch {
		case reason != "":
			problems = append(problems, where+" "+reason)
		case seen[line.name]:
			problems = append(problems, where+" repeats the name"+shown(variablelike, line.name))
		default:
			seen[line.name] = true
			lines = append(lines, line)
		}
	}
	return lines, problems
}

// staysOpen reports whether a value begins with a quote that is not closed on its line.
func staysOpen(value string) bool {
	return value != "" && (value[0] == '"' || value[0] == '\'') && strings.IndexByte(value[1:], value[0]) < 0
}

// unquote removes the quotes of a value. Its problem completes ".env:4 ".
func unquote(value string) (text, reason string) {
	if value == "" {
		return "", ""
	}
	if quote := value[0]; quote == '"' || quote == '\'' {
		if end := strings.IndexByte(value[1:], quote); end < 0 || end != len(value)-2 {
			return "", "has quotes that do not enclose the whole value"
		}
		return value[1 : len(value)-1], ""
	}
	if strings.Contains(value, " #") || strings.Contains(value, "\t#") || value[0] == '#' {
		return "", "has a # in its value: put the value in quotes, or the comment on a line of its own"
	}
	return value, ""
}

// ignoredName is a line of .env that is no setting of ours, for listings, without its value.
func ignoredName(name, where string) Setting {
	if !variablelike.MatchString(name) {
		name = "(not shown)"
	}
	return Setting{Name: name, Description: "no setting of this service", Layer: where, Ignored: true}
}

// variablelike is strict, because the second line of a broken secret may look like a name.
var variablelike = regexp.MustCompile(`^[A-Z][A-Z0-9_]{0,40}$`)
