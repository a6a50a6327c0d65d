package cli

import (
	"bufio"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"hash"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/latchkey-api/latchkey/configs"
	"github.com/latchkey-api/latchkey/fault"
	"github.com/latchkey-api/latchkey/handlers"
	"github.com/latchkey-api/latchkey/internal/listener/listenertest"
	"github.com/latchkey-api/latchkey/keys"
	"github.com/latchkey-api/latchkey/keys/keystring"
	"github.com/latchkey-api/latchkey/middleware"
)

// object is a JSON object.
type object = map[string]any

// signer makes tokens with any content, which no library would make.
type signer struct {
	id   string // "" for the shared key
	alg  string
	sign func(text string) []byte
	// claim is the right apiKey claim, and other the algorithm of the other kind of key.
	claim, other string
}

func withHMAC(hash func() hash.Hash, secret string) func(string) []byte {
	return func(text string) []byte {
		mac := hmac.New(hash, []byte(secret))
		mac.Write([]byte(text))
		return mac.Sum(nil)
	}
}

func sharedSigner(c configs.Config) signer {
	return signer{"", "HS256", withHMAC(sha256.New, c.JWTSecretKey.Reveal()), c.APIKey.Reveal(), "HS512"}
}

func keySigner(text keystring.Key) signer {
	if private, ok := text.PrivateKey(); ok {
		sign := func(text string) []byte { return ed25519.Sign(private, []byte(text)) }
		return signer{text.ID(), "EdDSA", sign, text.ID(), "HS256"}
	}
	return signer{text.ID(), "HS256", withHMAC(sha256.New, text.Reveal()), text.ID(), "EdDSA"}
}

// token is a good token with the changes in header and claims; nil removes a member.
func (s signer) token(t *testing.T, header, claims object) string {
	t.Helper()
	now := time.Now().Unix()
	all := object{"apiKey": s.claim, "aud": "latchkey-api", "iat": now, "exp": now + 300}
	head := object{"alg": s.alg, "typ": "JWT"}
	if s.id != "" {
		head["kid"] = s.id
	}
	part := func(object, changes object) string {
		for name, value := range changes {
			object[name] = value
			if value == nil {
				delete(object, name)
			}
		}
		text, err := json.Marshal(object)
		if err != nil {
			t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(text)
	}
	text := part(head, header) + "." + part(all, claims)
	return text + "." + base64.RawURLEncoding.EncodeToString(s.sign(text))
}

// in is a moment so many seconds from now, as a claim.
func in(seconds int64) int64 { return time.Now().Unix() + seconds }

// sent is a header with the expected code, and parts of the expected finding and remedy.
type sent struct {
	name, header string
	code         fault.Code
	finding      string
	remedy       string
}

const accepted = fault.Code(255)

// everyKind are the faults that a token of any key can have.
func everyKind(t *testing.T, s signer) []sent {
	t.Helper()
	good := s.token(t, nil, nil)
	forged := s
	forged.sign = func(text string) []byte { return s.sign(text + "x") }
	incorrect := "it must be the kid, " + s.id
	if s.id == "" {
		incorrect = "the shared key's token must name API_KEY"
	}
	return []sent{
		{"good", "Bearer " + good, accepted, "", ""},
		{"bare", good, accepted, "", ""},
		{"another algorithm", s.token(t, object{"alg": s.other}, nil), fault.KeyNotAcceptable, "signed with " + s.other + ", this key signs with " + s.alg, "Sign with"},
		{"alg none", s.token(t, object{"alg": "none"}, nil), fault.KeyNotAcceptable, `signed with "none", this key signs with ` + s.alg, "Sign with"},
		{"no alg", s.token(t, object{"alg": nil}, nil), fault.KeyNotAcceptable, "does not say with which algorithm", "Sign with"},
		{"crit", s.token(t, object{"crit": []string{"x"}, "b64": true}, nil), fault.KeyNotAcceptable, "crit", "without crit and b64"},
		{"forged", forged.token(t, nil, nil), fault.SignatureInvalid, "not made with", "Sign with"},
		{"expired 2 h ago", s.token(t, nil, object{"iat": in(-7500), "exp": in(-7230)}), fault.TokenExpired, "expired 2 h ago: exp is ", "Make a new token"},
		{"a clock ahead", s.token(t, nil, object{"iat": in(49)}), fault.TokenNotYetValid, "your clock is 4", "Set the clock"},
		{"nbf ahead", s.token(t, nil, object{"iat": in(10), "nbf": in(250)}), fault.TokenNotYetValid, "it begins in 4 min: nbf is ", "Wait"},
		{"no exp", s.token(t, nil, object{"exp": nil}), fault.ClaimMissing, "there is no exp", "Put exp"},
		{"no aud", s.token(t, nil, object{"aud": nil}), fault.ClaimMissing, "there is no aud", `"latchkey-api"`},
		{"no iat", s.token(t, nil, object{"iat": nil}), fault.ClaimMissing, "neither iat nor nbf", "Put exp"},
		{"another aud", s.token(t, nil, object{"aud": "x"}), fault.AudienceInvalid, `aud is "x", this service is "latchkey-api"`, "JWT_AUDIENCE"},
		{"other auds", s.token(t, nil, object{"aud": []string{"x", "y"}}), fault.AudienceInvalid, `aud is "x", "y", this service is "latchkey-api"`, "JWT_AUDIENCE"},
		{"aud empty", s.token(t, nil, object{"aud": []string{}}), fault.AudienceInvalid, "aud is empty", "JWT_AUDIENCE"},
		{"too long alive", s.token(t, nil, object{"exp": in(7300)}), fault.LifetimeTooLong, "exp is 2 h after iat, at most 60 min", "shorter"},
		{"no apiKey", s.token(t, nil, object{"apiKey": nil}), fault.APITokenMissing, "no apiKey claim", "Put the key's id"},
		{"another apiKey", s.token(t, nil, object{"apiKey": "wrong"}), fault.APITokenIncorrect, `apiKey is "wrong": ` + incorrect, "apiKey"},
		{"apiKey no string", s.token(t, nil, object{"apiKey": 7}), fault.APITokenIncorrect, "apiKey is no string: " + incorrect, "apiKey"},
	}
}

// anyForm are the faults that are found before a key is read.
func anyForm(t *testing.T, s signer) []sent {
	t.Helper()
	good := s.token(t, nil, nil)
	key, err := keystring.New(keystring.Test, keystring.HS256)
	if err != nil {
		t.Fatal(err)
	}
	return []sent{
		{"nothing", "", fault.AuthorizationMissing, "there is no token", "Authorization: Bearer"},
		{"blank", " \t ", fault.AuthorizationMissing, "there is no token", "Authorization: Bearer"},
		{"one letter", "x", fault.TokenMalformed, "three parts", "Copy"},
		{"the scheme alone", "Bearer", fault.TokenMalformed, "three parts", "Copy"},
		{"another scheme", "Basic " + good, fault.TokenMalformed, "a space", "no other scheme"},
		{"two tokens", good + " " + good, fault.TokenMalformed, "a space", "one token"},
		{"in quotes", `"` + good + `"`, fault.TokenMalformed, `the header has '"' in it`, "Copy"},
		{"cut off", good[:len(good)-22], fault.TokenMalformed, "the signature is cut off", "Copy"},
		{"without signature", good[:strings.LastIndex(good, ".")+1], fault.TokenMalformed, "the signature is empty", "Copy"},
		{"a date as a text", s.token(t, nil, object{"exp": "2027-01-31T12:00:00Z"}), fault.TokenMalformed, "the claim exp is a text", "a NumericDate (RFC 7519): a JSON number"},
		{"seconds in quotes", s.token(t, nil, object{"iat": "1767225600"}), fault.TokenMalformed, "the claim iat is a text", "seconds since 1970"},
		{"milliseconds", s.token(t, nil, object{"nbf": in(0) * 1000}), fault.TokenMalformed, "the claim nbf is a number that seems to count milliseconds", "seconds since 1970"},
		{"scopes as a list", s.token(t, nil, object{"scope": []string{"accounts:read"}}), fault.TokenMalformed, "the claim scope is a list", `such as "accounts:read accounts:write"`},
		{"aud a number", s.token(t, nil, object{"aud": 7}), fault.TokenMalformed, "the claim aud is a number", "one text, or a list of texts"},
		{"sub a number", s.token(t, nil, object{"sub": 7}), fault.TokenMalformed, "the claim sub is a number", "Make sub one text"},
		{"too long", s.token(t, nil, object{"note": strings.Repeat("x", 3000)}), fault.TokenTooLong, "at most 3072", "Leave out"},
		{"far too long", strings.Repeat("x", 2*middleware.ReadBufferSize), fault.HeaderTooLarge, "at most 3072", "Leave out"},
		{"a control character", "\x1b" + good, fault.BadRequest, "control character", "Copy"},
		{"the API key", s.claim, fault.TokenMalformed, "it is API_KEY itself", "apiKey claim"},
		{"a key string", "Bearer " + key.Reveal(), fault.TokenMalformed, "there is a key string in it", "rotate it with --grace 0s"},
		{"SHA-512", signer{"", "HS512", withHMAC(sha512.New, "x"), "", ""}.token(t, nil, nil), fault.KeyNotAcceptable, "signed with HS512, this key signs with HS256", "Sign with"},
		{"an unknown kid", s.token(t, object{"kid": "E0123456789A"}, nil), fault.KeyNotAcceptable, "this service has no key E0123456789A", "latchkey keys list"},
		{"SQL as kid", s.token(t, object{"kid": "' OR 1=1 --"}, nil), fault.KeyNotAcceptable, `kid is "' OR 1=1 --", which is no id`, "12 characters"},
		{"a number as kid", s.token(t, object{"kid": 7}, nil), fault.KeyNotAcceptable, `kid is "", which is no id`, "12 characters"},
		{"a long kid", s.token(t, object{"kid": strings.Repeat("E", 1000)}, nil), fault.KeyNotAcceptable, `E"..., which is no id`, "12 characters"},
	}
}

// states are the faults of a registered key. Every token has a good signature.
func states(t *testing.T, a *served, kind keystring.Kind) []sent {
	t.Helper()
	ctx, now := t.Context(), time.Now().UTC().Truncate(time.Microsecond)
	create := func() (keys.Record, string) {
		record, text, err := a.keyring.Create(ctx, cliActor(), keys.Request{Client: "acme", Scopes: []string{"accounts:read"}, Kind: string(kind)})
		if err != nil {
			t.Fatal(err)
		}
		return record, keySigner(text).token(t, nil, nil)
	}
	change := func(id string, change func(*keys.Record)) {
		_, err := a.store.ChangeKey(ctx, id, keys.Event{At: now, Actor: cliActor(), Action: "test", Count: 1}, func(r *keys.Record) (bool, error) {
			change(r)
			return true, nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	// rotate writes a rotation of 3 days ago. The old key is accepted until ends.
	rotate := func(id, successor string, ends time.Time) {
		_, _, err := a.store.RotateKey(ctx, id, keys.Event{At: now, Actor: cliActor(), Action: "test", Count: 1}, func(old *keys.Record) (keys.Record, error) {
			next := *old
			next.ID, next.RotatedFrom, next.CreatedAt = successor, old.ID, now.Add(-73*time.Hour)
			old.RotatedTo, old.ExpiresAt = successor, ends
			return next, nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	letter := map[keystring.Kind]string{keystring.Ed25519: "E", keystring.HS256: "H"}[kind]

	disabled, disabledToken := create()
	change(disabled.ID, func(r *keys.Record) { r.State = keys.Disabled })
	revoked, revokedToken := create()
	change(revoked.ID, func(r *keys.Record) { r.State = keys.Revoked })
	expired, expiredToken := create()
	change(expired.ID, func(r *keys.Record) { r.ExpiresAt = now.Add(-150 * time.Minute) })
	rotated, rotatedToken := create()
	rotate(rotated.ID, letter+"0000000late", now.Add(-time.Hour))
	inGrace, inGraceToken := create()
	rotate(inGrace.ID, letter+"00000000new", now.Add(time.Hour))

	other, err := keystring.New(keystring.Live, kind)
	if err != nil {
		t.Fatal(err)
	}
	masterKey, err := base64.StdEncoding.DecodeString(a.config.MasterKey.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	sealer, err := keys.NewSealer(masterKey, nil)
	if err != nil {
		t.Fatal(err)
	}
	foreign := keys.Record{
		ID: other.ID(), Client: "acme", Kind: kind, Environment: keystring.Live, Scopes: []keys.Scope{keys.AccountsRead},
		State: keys.Enabled, Hint: other.Hint(), CreatedAt: now,
	}
	if private, ok := other.PrivateKey(); ok {
		foreign.Material, _ = private.Public().(ed25519.PublicKey)
	} else if foreign.Material, err = sealer.Seal(foreign.ID, kind, []byte(other.Reveal())); err != nil {
		t.Fatal(err)
	}
	if _, err := a.store.CreateKey(ctx, foreign, keys.Event{At: now, Actor: cliActor(), Action: "test", Count: 1}); err != nil {
		t.Fatal(err)
	}
	return []sent{
		{"disabled", disabledToken, fault.APITokenIncorrect, "key disabled", "latchkey keys enable " + disabled.ID},
		{"revoked", revokedToken, fault.APITokenIncorrect, "key revoked", "latchkey keys create"},
		{"expired", expiredToken, fault.APITokenIncorrect, "key expired 2 h ago", "latchkey keys create"},
		{"past its grace", rotatedToken, fault.APITokenIncorrect, "key rotated 3 d ago, successor " + letter + "0000000late", "the successor, " + letter + "0000000late"},
		{"in its grace", inGraceToken, accepted, "", ""},
		{"of the other environment", keySigner(other).token(t, nil, nil), fault.APITokenIncorrect, `key made for "live", this service takes those for "test"`, "APP_ENV"},
	}
}

// answered is the answer of the service.
type answered struct {
	Detail string
	handlers.Caller
}

// call sends a header to a running service; "" is no header.
func call(t *testing.T, address, header string) (status int, answer answered) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+"/service/whoami", nil)
	if err != nil {
		t.Fatal(err)
	}
	if header != "" {
		request.Header["Authorization"] = []string{header}
	}
	response, err := http.DefaultClient.Do(request)
	if strings.ContainsFunc(header, unicode.IsControl) && err != nil { // no HTTP library sends that
		conn := listenertest.Dial(t, address)
		if _, err := io.WriteString(conn, "GET /service/whoami HTTP/1.1\r\nHost: x\r\nAuthorization: "+header+"\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		response, err = http.ReadResponse(bufio.NewReader(conn), request)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, answer
}

// TestExplainSaysWhatTheServiceSays sends every header to a running service and asks explain about it.
func TestExplainSaysWhatTheServiceSays(t *testing.T) {
	config := testConfig(t)
	a := beside(t, config)
	address := running(t, config)
	// A second service on the same store has no master key.
	poor := config
	poor.MasterKey = configs.Secret{}
	poorAddress := running(t, poor)

	all, err := explainHeader(t.Context(), config, sharedSigner(config).token(t, nil, nil))
	if err != nil || !all.Accepted {
		t.Fatalf("%+v %v", all, err)
	}
	seen := map[fault.Code]bool{}
	compare := func(group string, config configs.Config, address string, rows []sent) {
		for _, row := range rows {
			t.Run(group+"/"+row.name, func(t *testing.T) {
				status, answer := call(t, address, row.header)
				got, err := explainHeader(t.Context(), config, strings.TrimSpace(row.header))
				if err != nil {
					t.Fatal(err)
				}
				if row.code == accepted {
					if status != http.StatusOK || !got.Accepted || got.Caller == nil || got.Caller.Key != answer.Key ||
						got.Caller.ExpiresAt != answer.ExpiresAt || !slices.Equal(got.Caller.Scopes, answer.Scopes) {
						t.Errorf("the service answers %d %+v, explain %+v", status, answer, got)
					}
					return
				}
				seen[row.code] = true
				if status != middleware.StatusOf(row.code) || answer.Detail != row.code.Text() {
					t.Errorf("the service answers %d %q, want %v", status, answer.Detail, row.code)
				}
				if got.Accepted || got.Caller != nil || got.Status != status || got.Detail != answer.Detail {
					t.Errorf("the service answers %d %q, explain %d %q", status, answer.Detail, got.Status, got.Detail)
				}
				last := got.Checks[len(got.Checks)-1]
				if last.OK || !strings.Contains(last.Finding, row.finding) || !strings.Contains(got.Remedy, row.remedy) {
					t.Errorf("found %+v, remedy %q, want %q and %q", last, got.Remedy, row.finding, row.remedy)
				}
				for i, c := range got.Checks[:len(got.Checks)-1] {
					if !c.OK || c.Check != all.Checks[i].Check {
						t.Errorf("check %d is %+v", i, c)
					}
				}
			})
		}
	}
	compare("form", config, address, anyForm(t, sharedSigner(config)))
	compare("shared", config, address, everyKind(t, sharedSigner(config)))
	var made []keystring.Key
	for _, kind := range []keystring.Kind{keystring.Ed25519, keystring.HS256} {
		_, text, err := a.keyring.Create(t.Context(), cliActor(), keys.Request{Client: "acme", Scopes: []string{"accounts:read"}, Kind: string(kind)})
		if err != nil {
			t.Fatal(err)
		}
		made = append(made, text)
		compare(string(kind), config, address, everyKind(t, keySigner(text)))
		compare(string(kind), config, address, states(t, a, kind))
	}
	for i, text := range made {
		other := made[1-i]
		compare("other kind", config, address, []sent{{
			string(text.Kind()), keySigner(text).token(t, object{"kid": other.ID()}, object{"apiKey": other.ID()}),
			fault.KeyNotAcceptable, "this key signs with " + keySigner(other).alg, "Sign with",
		}})
	}
	compare("no master key", poor, poorAddress, []sent{
		{"hs256", keySigner(made[1]).token(t, nil, nil), fault.Unavailable, "MASTER_KEY, which is not set", "MASTER_KEY"},
		{"ed25519", keySigner(made[0]).token(t, nil, nil), accepted, "", ""},
	})
	refusals := 0
	for _, code := range fault.Codes() {
		if middleware.StatusOf(code) == http.StatusUnauthorized {
			refusals++
			if !seen[code] {
				t.Errorf("no row is refused with %v", code)
			}
		}
	}
	if len(all.Checks) != refusals {
		t.Errorf("%d checks of an accepted token, and %d refusals", len(all.Checks), refusals)
	}
}
