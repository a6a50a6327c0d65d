package configs

// The shared key and the secret in the article that this system follows: everybody knows them.
const (
	articleAPIKey = "6f16c1a4-0de8-47ca-abbc-d7d02ea0d3ee"
	articleSecret = "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA2MrvTecJigWsgebOHo7X"
)

// hashSize is the length in bytes of an algorithm's hash: a shorter secret is weaker than the algorithm (RFC 7518 3.2).
func hashSize(algorithm string) int {
	switch algorithm {
	case "HS512":
		return 64
	case "HS384":
		return 48
	default:
		return 32
	}
}

// Validate checks what only a server needs: settings that must fit together and, in production, secrets that nobody knows or can
// guess. The error is Problems, with all of them. It does not repeat what Load refuses, and asks the store nothing, such as whether
// there is a key.
func (c Config) Validate() error { return c.validate(nil).asError() }

// validate is Validate without the rules for settings in faulty.
func (c Config) validate(faulty map[string]bool) Problems {
	var problems Problems
	refuse := func(broken bool, sentence string, names ...string) {
		for _, name := range names {
			broken = broken && !faulty[name]
		}
		if broken {
			problems = append(problems, sentence)
		}
	}
	refuse(!c.APIKey.IsZero() && c.JWTSecretKey.IsZero(),
		"API_KEY is set without JWT_SECRET_KEY: set both, or neither", "API_KEY", "JWT_SECRET_KEY")
	refuse(c.APIKey.IsZero() && !c.JWTSecretKey.IsZero(),
		"JWT_SECRET_KEY is set without API_KEY: set both, or neither", "API_KEY", "JWT_SECRET_KEY")
	refuse(!c.JWTSecretKeyPrevious.IsZero() && c.JWTSecretKey.IsZero(),
		"JWT_SECRET_KEY_PREVIOUS is set without JWT_SECRET_KEY", "JWT_SECRET_KEY_PREVIOUS", "JWT_SECRET_KEY")
	refuse(!c.MasterKeyPrevious.IsZero() && c.MasterKey.IsZero(),
		"MASTER_KEY_PREVIOUS is set without MASTER_KEY", "MASTER_KEY_PREVIOUS", "MASTER_KEY")
	refuse(c.JWTTTL > c.JWTMaxLifetime,
		"JWT_TTL must not be longer than JWT_MAX_LIFETIME", "JWT_TTL", "JWT_MAX_LIFETIME")
	refuse(c.TLSCertFile != "" && c.TLSKeyFile == "",
		"TLS_CERT_FILE is set without TLS_KEY_FILE: set both, or neither", "TLS_CERT_FILE", "TLS_KEY_FILE")
	refuse(c.TLSCertFile == "" && c.TLSKeyFile != "",
		"TLS_KEY_FILE is set without TLS_CERT_FILE: set both, or neither", "TLS_CERT_FILE", "TLS_KEY_FILE")
	secrets := c.secrets()
	for i, one := range secrets {
		for _, other := range secrets[i+1:] {
			why := ""
			if one.name == "API_KEY" && other.hmac {
				why = "whoever sees a token could sign the next one; "
			}
			refuse(!one.value.IsZero() && one.value.Reveal() == other.value.Reveal(),
				one.name+" and "+other.name+" have the same value: "+why+"each needs one of its own", one.name, other.name)
		}
	}
	if c.AppEnv != Production {
		return problems
	}

	published := published()
	for _, s := range secrets {
		what, public := published[s.value.Reveal()]
		refuse(public, s.name+" is "+what+", which everybody knows: production needs one of your own", s.name)
		refuse(s.hmac && !public && !s.value.IsZero() && len(s.value.Reveal()) < hashSize(c.JWTAlgorithm),
			s.name+" is shorter than the hash of JWT_ALGORITHM: production needs 32 bytes for HS256, 48 for HS384, 64 for HS512",
			s.name, "JWT_ALGORITHM")
	}
	return problems
}

// namedSecret is a secret with the name of its setting.
type namedSecret struct {
	name  string
	value Secret
	hmac  bool
}

func (c Config) secrets() []namedSecret {
	return []namedSecret{
		{"API_KEY", c.APIKey, false},
		{"JWT_SECRET_KEY", c.JWTSecretKey, true},
		{"JWT_SECRET_KEY_PREVIOUS", c.JWTSecretKeyPrevious, true},
		{"MASTER_KEY", c.MasterKey, false},
		{"MASTER_KEY_PREVIOUS", c.MasterKeyPrevious, false},
	}
}

// published are the secrets that are printed somewhere, and where.
func published() map[string]string {
	known := map[string]string{
		articleAPIKey: "the API key of the article",
		articleSecret: "the secret of the article",
	}
	for _, row := range settings() {
		if row.placeholder != "" {
			known[row.placeholder] = "a placeholder of .env.template"
		}
	}
	return known
}
