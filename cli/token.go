package cli

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/latchkey-api/latchkey/client"
	"github.com/latchkey-api/latchkey/configs"
	"github.com/latchkey-api/latchkey/token"
)

type tokenCmd struct {
	Key   *string       `help:"A registered key to make the token for. Other users can see it among the arguments of this process: rather set the variable." env:"LATCHKEY_KEY" placeholder:"KEY"`
	TTL   time.Duration `help:"How long the token is valid, such as 90s or 1h. Default: JWT_TTL." placeholder:"DURATION"`
	Scope []string      `help:"Narrow the token to these scopes; can be repeated." placeholder:"SCOPE" sep:"none"`
}

// Run prints a token for --key, or for the shared key.
func (t tokenCmd) Run(r *command) error {
	src := r.sources
	src.Only = []string{"APP_ENV", "JWT_AUDIENCE", "JWT_TTL", "JWT_MAX_LIFETIME"}
	if t.Key == nil {
		src.Only = append(src.Only, "API_KEY", "JWT_SECRET_KEY", "JWT_ALGORITHM")
	} else if _, err := parseKey(*t.Key); err != nil {
		return err
	}
	loaded, err := configs.Load(src)
	if err != nil {
		return err
	}
	c := loaded.Config
	switch {
	case t.Key != nil:
	case c.APIKey.IsZero() && c.JWTSecretKey.IsZero():
		return errors.New("neither API_KEY nor JWT_SECRET_KEY is set: run latchkey init first")
	case c.APIKey.IsZero():
		return errors.New("API_KEY is not set, and a token names it")
	case c.JWTSecretKey.IsZero():
		return errors.New("JWT_SECRET_KEY is not set, and it signs the token")
	}
	ttl := t.TTL
	if ttl == 0 {
		ttl = c.JWTTTL
	}
	if ttl < time.Second || ttl > c.JWTMaxLifetime {
		return fmt.Errorf("--ttl must be from 1s to JWT_MAX_LIFETIME, which is %s", c.JWTMaxLifetime)
	}
	var minted string
	if t.Key == nil {
		minted, err = mint(c, ttl, t.Scope)
	} else {
		minted, err = client.Mint(*t.Key, client.Options{Audience: c.JWTAudience, TTL: ttl, Scopes: t.Scope})
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(r.stdout, minted)
	return err
}

// mint makes a token for the shared key. scopes narrow it; nil does not.
func mint(c configs.Config, ttl time.Duration, scopes []string) (string, error) {
	grant := token.Grant{APIKey: c.APIKey.Reveal(), Audience: c.JWTAudience, Now: time.Now(), TTL: ttl}
	if scopes != nil {
		scope := strings.Join(scopes, " ")
		grant.Scope = &scope
	}
	signing, err := token.HMAC(c.JWTAlgorithm, "", []byte(c.JWTSecretKey.Reveal()))
	if err != nil {
		return "", err
	}
	return token.Mint(signing, grant)
}
