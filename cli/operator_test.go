package cli

import (
	"encoding/json"
	"os"
	"os/user"
	"strconv"
	"strings"
	"testing"

	"github.com/latchkey-api/latchkey/handlers"
)

func TestOperatorIsInTheAudit(t *testing.T) {
	inEmptyFolder(t)
	t.Setenv("USER", "somebody-else") // anybody can set it
	if code, _, stderr := run(t, "keys", "create", "--client=acme", "--scope=accounts:read"); code != 0 {
		t.Fatal(stderr)
	}
	_, text, _ := run(t, "keys", "audit", "--json")
	var events []handlers.Event
	if err := json.Unmarshal([]byte(text), &events); err != nil || len(events) != 1 {
		t.Fatalf("%v: %s", err, text)
	}
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	want := "@" + host
	if current, err := user.LookupId(strconv.Itoa(os.Getuid())); err == nil {
		want = current.Username + want
	}
	if e := events[0]; e.Actor != "cli" || !strings.HasSuffix(e.Address, want) || strings.HasPrefix(e.Address, "@") || e.RequestID != "" {
		t.Errorf("%+v, want the address %s", e, want)
	}
	if _, table, _ := run(t, "keys", "audit"); !strings.Contains(table, events[0].Address) {
		t.Errorf("the table lacks it:\n%s", table)
	}
}

func TestOperatorNamesArePlain(t *testing.T) {
	for name, want := range map[string]string{
		"steven": "steven", `CORP\steven`: `CORP\steven`, "Zoë": "Zoë", "a b\tc\nd\x1b[31m\x00": "a_b_c_d_[31m_", "\xff": "_",
		"": "", strings.Repeat("é", 80): strings.Repeat("é", 50), "a" + strings.Repeat("é", 80): "a" + strings.Repeat("é", 49),
	} {
		if got := plain(name); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
}
