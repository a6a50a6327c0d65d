package configs

import (
	"regexp"
	"strings"
	"unicode/utf8"
)

// dotenvName is how .env is called in layers and problems.
const dotenvName = ".env"

// dotenv is the layer of .env. It reads what the environment leaves open: a name that is set there, directly or by its
// NAME_FILE, is passed over here, both spellings of it.
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

// settingOf finds the setting that a variable sets: its own or, for NAME_FILE, that of NAME. The other variables of
// OpenTelemetry are known, but nothing of ours: its library takes them from the environment.
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

// assignment takes the names that other programs have, too: with dots and hyphens.
var assignment = regexp.MustCompile(`^(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_.-]*)=(.*)$`)

// parseDotenv reads lines of the form NAME=value, with an optional "export " before and optional single or double quotes
// around the whole value, blank lines, and lines that begin with "#". Nothing inside a value has a meaning, neither "$"
// nor a backslash, so a secret stays what it is. What other readers of such files would take differently is a problem.
// Of a name that is not ours no value is read, so its line is a problem only where a quote stays open: then nobody can
// tell where the value ends.
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

// staysOpen reports whether a value begins with a quote that has no other end on its line.
func staysOpen(value string) bool {
	return value != "" && (value[0] == '"' || value[0] == '\'') && strings.IndexByte(value[1:], value[0]) < 0
}

// unquote takes the quotes off a value. The reason why it cannot completes ".env:4 ".
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

// ignoredName is a line of .env that sets nothing of ours, for listings. Its value is no business of ours.
func ignoredName(name, where string) Setting {
	if !variablelike.MatchString(name) {
		name = "(not shown)"
	}
	return Setting{Name: name, Description: "no setting of this service", Layer: where, Ignored: true}
}

// variablelike is strict because a line of a secret that was broken over two lines may look like a name.
var variablelike = regexp.MustCompile(`^[A-Z][A-Z0-9_]{0,40}$`)
