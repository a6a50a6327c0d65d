package explain

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/latchkey-api/latchkey/fault"
	"github.com/latchkey-api/latchkey/middleware"
)

func TestStepsCoverEveryRefusal(t *testing.T) {
	var want, got []fault.Code
	for _, code := range fault.Codes() { // in the order of the checks
		if middleware.StatusOf(code) == http.StatusUnauthorized {
			want = append(want, code)
		}
	}
	for _, s := range steps() {
		got = append(got, s.code)
		if !strings.HasSuffix(s.remedy, ".") || s.name == "" || s.passed == nil || s.failed == nil {
			t.Errorf("%v has no remedy, or lacks something else: %+v", s.code, s)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("the steps are\n%v\nand the refusals\n%v", got, want)
	}
	for _, code := range fault.Codes() {
		if !slices.Contains(got, checkOf(code)) {
			t.Errorf("%v has no step", code)
		}
	}
}

func TestSpan(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0 s", 40*time.Second + 600*time.Millisecond: "41 s", 119 * time.Second: "119 s", 2 * time.Minute: "2 min", 119 * time.Minute: "119 min",
		2 * time.Hour: "2 h", 47 * time.Hour: "47 h", 48 * time.Hour: "2 d", 80 * time.Hour: "3 d", -5 * time.Second: "-5 s",
	} {
		if got := span(d); got != want {
			t.Errorf("%s is %q, want %q", d, got, want)
		}
	}
}
