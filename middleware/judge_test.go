package middleware

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/latchkey-api/latchkey/fault"
	"github.com/latchkey-api/latchkey/keys"
)

func TestGuardJudgesAsItServes(t *testing.T) {
	for _, size := range []int{0, 100} {
		now := time.Now()
		app, guard := guarded(t, size, &now)
		good := sharedToken(t, now, nil)
		for _, header := range []string{
			good, "Bearer " + good, good, "", " ", "x", "Bearer", "Basic " + good, good + " " + good, good[:len(good)-8] + "AAAAAAAA",
			sharedToken(t, now.Add(-time.Hour), nil), sharedToken(t, now.Add(time.Hour), nil), strings.Repeat("x", 4000),
		} {
			answer, body := send(t, app, "GET", "/guarded", "Authorization", header)
			principal, err := guard.Judge(header)
			switch {
			case err == nil && (answer.StatusCode != http.StatusOK || principal.KeyID != keys.SharedID || !principal.Scopes.Has(keys.AccountsRead)):
				t.Errorf("%.20q: served %d %s, judged %+v", header, answer.StatusCode, body, principal)
			case err != nil && (answer.StatusCode != StatusOf(fault.CodeOf(err)) || body != string(Body(asFault(err))) || principal != nil):
				t.Errorf("%.20q: served %d %s, judged %v, %+v", header, answer.StatusCode, body, err, principal)
			}
		}
		for header, want := range map[string]fault.Code{
			strings.Repeat("x", ReadBufferSize+1): fault.HeaderTooLarge,
			good + "\n":                           fault.BadRequest,
			"\x7f" + good:                         fault.BadRequest,
		} {
			if principal, err := guard.Judge(header); fault.CodeOf(err) != want || errors.Unwrap(err) != nil || principal != nil {
				t.Errorf("%.20q: judged %v, %+v, want %v", header, err, principal, want)
			}
		}
		if _, err := guard.Judge("\t" + good); fault.CodeOf(err) == fault.BadRequest {
			t.Error("a tab is refused as a control character")
		}
	}
}
