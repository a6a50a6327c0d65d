package configs

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func everyName(string) bool { return true }

func TestParseDotenv(t *testing.T) {
	rows := []struct {
		name, content string
		want          []dotenvLine
	}{
		{"nothing", "", nil},
		{"blank lines and comments", "\n \t\n# A=1\n  # B=2\n#\n", nil},
		{"lines count from 1", "A=1\n\nB=2", []dotenvLine{{"A", "1", 1}, {"B", "2", 3}}},
		{"export", "export A=1\nexport\tB=2\n", []dotenvLine{{"A", "1", 1}, {"B", "2", 2}}},
		{"a name like export", "export=1\nexportA=2\n", []dotenvLine{{"export", "1", 1}, {"exportA", "2", 2}}},
		{"empty values", "A=\nB=''\nC=\"\"\n", []dotenvLine{{"A", "", 1}, {"B", "", 2}, {"C", "", 3}}},
		{"quotes", "A='x y'\nB=\" x # \"\nC='\"'\nD=\"'\"\n", []dotenvLine{{"A", "x y", 1}, {"B", " x # ", 2}, {"C", `"`, 3}, {"D", "'", 4}}},
		{"nothing is expanded", "A=$B${C}`d`\nB=\"$A\\n\\\\\"\nC=\\$x\n", []dotenvLine{{"A", "$B${C}`d`", 1}, {"B", `$A\n\\`, 2}, {"C", `\$x`, 3}}},
		{"base64 and URLs", "A=ab+/c==\nB=postgres://u:p@h/d?a=b#c\n", []dotenvLine{{"A", "ab+/c==", 1}, {"B", "postgres://u:p@h/d?a=b#c", 2}}},
		{"quotes inside", "A=it's\nB=a\"b\"\n", []dotenvLine{{"A", "it's", 1}, {"B", `a"b"`, 2}}},
		{"blanks around", "  A= x y \t\n", []dotenvLine{{"A", "x y", 1}}},
		{"Windows", "\ufeffA=1\r\nB='2'\r\n", []dotenvLine{{"A", "1", 1}, {"B", "2", 2}}},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			got, problems := parseDotenv([]byte(row.content), everyName)
			if problems != nil || !slices.Equal(got, row.want) {
				t.Errorf("%+v %q, want %+v", got, problems, row.want)
			}
		})
	}
}

func TestDotenvFaults(t *testing.T) {
	const form, quotes, comment = ".env:1 is not of the form NAME=value", ".env:1 has quotes", ".env:1 has a # in its value"
	rows := []struct{ name, content, want string }{
		{"no assignment", "hush", form},
		{"a colon", "PORT: hush", form},
		{"a blank before =", "PORT =hush", form},
		{"no name", "=hush", form},
		{"a digit first", "1A=hush", form},
		{"NUL", "API_KEY=hu\x00sh", form},
		{"not UTF-8", "API_KEY=hush\xff", form},
		{"UTF-16", "\xff\xfeA\x00=\x001\x00", form},
		{"old Mac lines", "API_KEY=hush\rPORT=1", form},
		{"open quote", "API_KEY='hush", quotes},
		{"one quote", "API_KEY=\"", quotes},
		{"closed early", "API_KEY='hu'sh", quotes},
		{"closed twice", "API_KEY='hu'sh'", quotes},
		{"comment after quotes", "API_KEY='hush' # x", quotes},
		{"comment after a value", "API_KEY=hush # x", comment},
		{"comment after a tab", "API_KEY=hush\t#x", comment},
		{"comment for a value", "API_KEY= #hush", comment},
		{"twice", "PORT=1\nPORT=2", ".env:2 repeats the name PORT"},
		{"a quote of another program stays open", "CERTIFICATE=\"hush\nPORT=1", ".env:1 has quotes"},
		{"APP_ENV", "APP_ENV=production", ".env:1 sets APP_ENV, but .env counts in development only"},
		{"APP_ENV by a file", "APP_ENV_FILE=/x", ".env:1 sets APP_ENV_FILE, but .env counts in development only"},
		{"value that does not parse", "PORT=hush", "PORT must be a whole number from 0 to 65535 (from .env:1)"},
		{"both", "API_KEY=hush\nAPI_KEY_FILE=hush", "both API_KEY and API_KEY_FILE are set: unset one of them (from .env:1 and .env:2)"},
		{"absent file", "API_KEY_FILE=/absent/hush", "API_KEY_FILE names a file that does not exist (from .env:1)"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			dir := clean(t)
			write(t, dir, ".env", row.content)
			_, err := Load(Sources{Dir: dir})
			problems := problemsOf(t, err)
			if len(problems) != 1 || !strings.HasPrefix(problems[0], row.want) {
				t.Fatalf("problems %q, want %q", problems, row.want)
			}
			if strings.Contains(problems[0], "hu") {
				t.Errorf("a value stands in %q", problems[0])
			}
		})
	}
}

// Compose and other programs also read .env.
func TestDotenvIgnoresNamesOfOthers(t *testing.T) {
	dir := clean(t)
	write(t, dir, ".env", `POSTGRES_PASSWORD=hush
TZ=Europe/Berlin # here
COMPOSE_PROJECT_NAME="x" # a comment behind quotes
TZ=UTC
PORT=9000
port=9001
npm.token=hush
my-name='hu'sh'
MIIhush=
PORTT=hush
TLS_CERT_FILE_FILE=hush
LATCHKEY_KEY=hush
OTEL_SERVICE_NAME=x
EMPTY=
`)
	l := mustLoad(t, Sources{Dir: dir})
	if l.Config.Port != 9000 {
		t.Errorf("port %d", l.Config.Port)
	}
	var got []string
	for _, s := range l.Ignored {
		got = append(got, s.Layer+" "+s.Name)
		if !s.Ignored || s.Value != "" {
			t.Errorf("%+v", s)
		}
	}
	want := []string{
		".env:1 POSTGRES_PASSWORD", ".env:2 TZ", ".env:3 COMPOSE_PROJECT_NAME", ".env:4 TZ", ".env:6 (not shown)", ".env:7 (not shown)",
		".env:8 (not shown)", ".env:9 (not shown)", ".env:10 PORTT", ".env:11 TLS_CERT_FILE_FILE", ".env:12 LATCHKEY_KEY", ".env:14 EMPTY",
	}
	if !slices.Equal(got, want) {
		t.Errorf("ignored are %q, want %q", got, want)
	}
	if strings.Contains(fmt.Sprintf("%+v", l), "hush") {
		t.Errorf("a value of another program stands in %+v", l)
	}
	if l := mustLoad(t, Sources{Dir: dir, Flags: map[string]string{"APP_ENV": "production"}}); len(l.Ignored) != 0 {
		t.Errorf("production reads .env: %+v", l.Ignored)
	}
	if l := mustLoad(t, Sources{Dir: dir, Only: []string{"HOST"}}); len(l.Ignored) != len(want) {
		t.Errorf("names that are not asked for count as unknown: %+v", l.Ignored)
	}
}

func TestDotenvIsForDevelopment(t *testing.T) {
	dir := clean(t)
	write(t, dir, ".env", "PORT=1\nnonsense\nUNKNOWN=1\n")
	l := mustLoad(t, Sources{Dir: dir, Flags: map[string]string{"APP_ENV": "production"}})
	if l.Config.Port != 8000 {
		t.Errorf("production took port %d from .env", l.Config.Port)
	}
	write(t, dir, ".env", "APP_ENV=development\nPORT=1\nOTEL_SERVICE_NAME=x\n")
	if got := mustLoad(t, Sources{Dir: dir}).Config.Port; got != 1 {
		t.Errorf("development has port %d", got)
	}
}

func TestDotenvOfTheWorkingDirectory(t *testing.T) {
	dir := clean(t)
	write(t, dir, ".env", "PORT=1\n")
	t.Chdir(dir)
	if got := mustLoad(t, Sources{}).Config.Port; got != 1 {
		t.Errorf("port %d", got)
	}
}

// NAME or NAME_FILE in the environment hides both spellings in .env.
func TestDotenvIsHiddenByTheEnvironment(t *testing.T) {
	dir := clean(t)
	path := write(t, dir, "secret", "from-file\n")
	write(t, dir, ".env", "API_KEY=from-dotenv\nJWT_SECRET_KEY_FILE=/absent\n")
	t.Setenv("API_KEY_FILE", path)
	t.Setenv("JWT_SECRET_KEY", "from-environment")
	c := mustLoad(t, Sources{Dir: dir}).Config
	if c.APIKey.Reveal() != "from-file" || c.JWTSecretKey.Reveal() != "from-environment" {
		t.Errorf("got %q and %q", c.APIKey.Reveal(), c.JWTSecretKey.Reveal())
	}
}

// FuzzParseDotenv checks that every line of the file is one of these: blank, a comment, a value on that line, or a problem that names
// the line.
func FuzzParseDotenv(f *testing.F) {
	oneByOne := func(name string) bool { return len(name)%2 == 1 }
	for _, seed := range []string{"A=1\n", "export A='x y'\n#c\n", "A=\"", "A='", "A=''", "A=b #c\nA=2", "\ufeffA=$B\r\n", "A==\x00", "=\n = \n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		lines, problems := parseDotenv(content, oneByOne)
		raw := strings.Split(strings.TrimPrefix(string(content), "\ufeff"), "\n")
		accounted := map[int]string{}
		for _, line := range lines {
			accounted[line.number] = line.name
			if text := raw[line.number-1]; !strings.Contains(text, line.name+"=") || !strings.Contains(text, line.text) {
				t.Errorf("line %d of %q gave %+v", line.number, content, line)
			}
		}
		for _, problem := range problems {
			var number int
			if _, err := fmt.Sscanf(problem, ".env:%d ", &number); err != nil {
				t.Errorf("problem %q has no line", problem)
			}
			accounted[number] = problem
		}
		for i, text := range raw {
			text = strings.TrimSpace(text)
			_, known := accounted[i+1]
			if known == (text == "" || text[0] == '#') {
				t.Errorf("line %d of %q: accounted for is %t", i+1, content, known)
			}
		}
	})
}
