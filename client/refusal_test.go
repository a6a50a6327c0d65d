package client

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
)

var errSign = errors.New("no signature")

// failing is a transport that can mint only so many tokens.
func failing(tokens int, base http.RoundTripper) *Transport {
	return &Transport{
		origin: origin{"https", "api.example.com", "443"},
		base:   base,
		token: func(string) (string, error) {
			if tokens--; tokens < 0 {
				return "", errSign
			}
			return "token", nil
		},
	}
}

type closing struct {
	io.Reader
	closed int
}

func (c *closing) Close() error { c.closed++; return nil }

func post(t *testing.T, body *closing) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://api.example.com", body)
	if err != nil {
		t.Fatal(err)
	}
	return req
}

type answering struct{ resp *http.Response }

func (a answering) RoundTrip(*http.Request) (*http.Response, error) { return a.resp, nil }

func TestRequestWithoutATokenIsNotSent(t *testing.T) {
	body := &closing{Reader: strings.NewReader("text")}
	resp, err := failing(0, nil).RoundTrip(post(t, body)) // a base of nil panics when it is called
	if !errors.Is(err, errSign) || resp != nil {
		t.Errorf("%v, %v", resp, err)
	}
	if body.closed != 1 {
		t.Errorf("the body was closed %d times", body.closed)
	}
}

func TestRenewalThatFailsAnswersTheRefusal(t *testing.T) {
	refusal := &closing{Reader: strings.NewReader("refused")}
	base := answering{&http.Response{
		StatusCode: http.StatusUnauthorized,
		Header:     http.Header{"Www-Authenticate": {"Bearer " + expiredDescription}},
		Body:       refusal,
	}}
	again := &closing{Reader: strings.NewReader("text")}
	req := post(t, &closing{Reader: strings.NewReader("text")})
	req.GetBody = func() (io.ReadCloser, error) { return again, nil }
	resp, err := failing(1, base).RoundTrip(req)
	if err != nil || resp.StatusCode != http.StatusUnauthorized {
		t.Fatal(resp, err)
	}
	if text, _ := io.ReadAll(resp.Body); string(text) != "refused" || refusal.closed != 0 {
		t.Errorf("the answer says %q and was closed %d times", text, refusal.closed)
	}
	if again.closed != 1 {
		t.Errorf("the second body was closed %d times", again.closed)
	}
}
