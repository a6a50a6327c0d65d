package configs

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

func TestSecretsCannotBePrinted(t *testing.T) {
	const marker = "SECRET-MARKER"
	dir := clean(t)
	for _, name := range []string{"API_KEY", "JWT_SECRET_KEY", "JWT_SECRET_KEY_PREVIOUS"} {
		t.Setenv(name, marker)
	}
	t.Setenv("DATABASE_URL", "postgres://user:"+marker+"@db/name?password="+marker+"&sslpassword="+marker+"&sslmode=require")
	l := mustLoad(t, Sources{Dir: dir})
	c := l.Config
	c.MasterKey, c.MasterKeyPrevious = NewSecret(marker), NewSecret(marker)
	hidden := struct{ config Config }{c}

	outputs := map[string]string{"Settings": fmt.Sprintf("%+v", l.Settings)}
	for _, verb := range []string{"%v", "%+v", "%#v", "%q", "%s", "%x", "%X", "%d", "%t", "%5.1f", "%p", "%U"} {
		outputs[verb] = fmt.Sprintf(verb, c) + fmt.Sprintf(verb, &c) + fmt.Sprintf(verb, c.APIKey) + fmt.Sprintf(verb, &c.APIKey) +
			fmt.Sprintf(verb, []Secret{c.APIKey}) + fmt.Sprintf(verb, map[Secret]Secret{c.APIKey: c.APIKey}) + fmt.Sprintf(verb, hidden) +
			fmt.Sprintf(verb, l)
	}
	outputs["Sprint"] = fmt.Sprint(c.APIKey) + fmt.Sprintln(c) + c.APIKey.String() + c.APIKey.GoString()
	outputs["Errorf"] = fmt.Errorf("failed with %v", c.APIKey).Error()
	var logs bytes.Buffer
	for _, handler := range []slog.Handler{slog.NewTextHandler(&logs, nil), slog.NewJSONHandler(&logs, nil)} {
		slog.New(handler).Info("start", "config", c, "key", c.APIKey, "pointer", &c.APIKey, "group", slog.GroupValue(slog.Any("k", c.APIKey)))
	}
	outputs["slog"] = logs.String()
	for name, marshal := range map[string]func(any) ([]byte, error){"json": json.Marshal, "yaml": yaml.Marshal} {
		for _, v := range []any{c.APIKey, &c.APIKey, []Secret{c.APIKey}, c, l.Settings} {
			out, err := marshal(v)
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			outputs[name] += string(out)
		}
	}
	for name, out := range outputs {
		if strings.Contains(out, marker) || strings.Contains(out, fmt.Sprintf("%x", marker)) || strings.Contains(out, fmt.Sprintf("%X", marker)) {
			t.Errorf("%s shows the secret: %s", name, out)
		}
	}
	if !strings.Contains(outputs["json"], redacted) || !strings.Contains(outputs["slog"], redacted) {
		t.Error("what is redacted is not said to be there")
	}
	if c.APIKey.Reveal() != marker {
		t.Errorf("Reveal gives %q", c.APIKey.Reveal())
	}
}

func TestSecretsThatAreEmpty(t *testing.T) {
	for _, s := range []Secret{{}, NewSecret("")} {
		if !s.IsZero() || s.Reveal() != "" || s.String() != "" || fmt.Sprintf("%v%#v", s, s) != "" {
			t.Errorf("an empty secret is %q", s.Reveal())
		}
	}
	if NewSecret("x").IsZero() {
		t.Error("a secret is empty")
	}
}

func TestSecretsAreMaskedInTheListing(t *testing.T) {
	rows := []struct{ name, value, want string }{
		{"API_KEY", "hush", "[redacted]"},
		{"API_KEY", "", ""},
		{"MASTER_KEY", "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=", "[redacted]"},
		{"DATABASE_URL", "sqlite:/data/x.db", "sqlite:/data/x.db"},
		{"DATABASE_URL", "postgres://user:hu%2Fsh@db:5432/name?sslmode=require", "postgres://user:xxxxx@db:5432/name?sslmode=require"},
		{"DATABASE_URL", "postgresql://user@db/name", "postgresql://user@db/name"},
		{"DATABASE_URL", "postgres:///name?host=/run&password=hush", "postgres:///name?host=%2Frun&password=xxxxx"},
	}
	for _, row := range rows {
		dir := clean(t)
		t.Setenv(row.name, row.value)
		if got := mustLoad(t, Sources{Dir: dir}).setting(t, row.name); got.Value != row.want {
			t.Errorf("%s is listed as %q, want %q", row.name, got.Value, row.want)
		}
	}
}

// Every setting gets the marker from every layer. No sentence about it shows the marker.
func TestValidateNeverShowsAValue(t *testing.T) {
	const marker = "SECRET-MARKER"
	wrongs := []string{marker, "'" + marker, marker + "=\n" + marker, "\x00" + marker, "postgres://u:" + marker + "@h:" + marker, "{" + marker, "*" + marker}
	for _, s := range settings() {
		for _, wrong := range wrongs {
			dir := clean(t)
			write(t, dir, ".env", s.name+"="+wrong+"\n")
			src := Sources{Dir: dir, Flags: map[string]string{"CONFIG_FILE": write(t, dir, "x.yaml", s.key()+": "+wrong+"\n")}}
			noMarker(t, src, marker)
			t.Setenv(s.name+"_FILE", write(t, dir, "value", wrong))
			noMarker(t, src, marker)
			if !strings.Contains(wrong, "\x00") {
				t.Setenv(s.name+"_FILE", wrong) // the value where its path belongs
				noMarker(t, src, marker)
				t.Setenv(s.name, wrong)
				noMarker(t, src, marker)
			}
		}
	}
}

func noMarker(t *testing.T, src Sources, marker string) {
	t.Helper()
	if _, err := LoadAndValidate(src); err != nil && strings.Contains(err.Error(), marker) {
		t.Errorf("a value is shown: %v", err)
	}
}
