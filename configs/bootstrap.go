package configs

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Secrets are the secrets that a start in development needs.
type Secrets struct {
	APIKey       Secret
	JWTSecretKey Secret
	MasterKey    Secret
}

// FreshSecrets returns random secrets. The JWT secret is long enough for every algorithm.
func FreshSecrets() Secrets {
	return Secrets{
		APIKey:       NewSecret(rand.Text()),
		JWTSecretKey: NewSecret(hex.EncodeToString(random32())),
		MasterKey:    NewSecret(base64.StdEncoding.EncodeToString(random32())),
	}
}

func random32() []byte {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails: it crashes the process instead
	return b
}

// Fill sets the empty secrets of c, for a server that cannot write .env.
func (s Secrets) Fill(c *Config) {
	for _, each := range []struct {
		field *Secret
		fresh Secret
	}{{&c.APIKey, s.APIKey}, {&c.JWTSecretKey, s.JWTSecretKey}, {&c.MasterKey, s.MasterKey}} {
		if each.field.IsZero() {
			*each.field = each.fresh
		}
	}
}

// NeedsBootstrap reports whether a start must write .env first. It must if all of these hold:
//   - the environment is development;
//   - there is no .env;
//   - no layer sets API_KEY or JWT_SECRET_KEY. An empty or wrong value counts as set.
func NeedsBootstrap(l *Loaded) bool {
	if l.Config.AppEnv != Development {
		return false
	}
	for _, s := range l.Settings {
		if (s.Name == "API_KEY" || s.Name == "JWT_SECRET_KEY") && (s.Layer != layerDefault || l.faulty[s.Name]) {
			return false
		}
	}
	_, err := os.Lstat(dotenvPath(l.dir))
	return errors.Is(err, fs.ErrNotExist)
}

// Bootstrap writes .env into dir ("" is the working directory): the template with fresh secrets, mode 0600. If there is a .env, it
// leaves it alone and returns false. The caller loads again in both cases, so that two processes that start at once use the same
// file. The file appears whole or not at all: it is written under another name, and then linked to .env, which fails if that
// exists. An error means that the folder cannot be written, or has no links.
func Bootstrap(dir string) (created bool, err error) {
	path := dotenvPath(dir)
	if _, err := os.Lstat(path); err == nil {
		return false, nil
	}
	fresh := FreshSecrets()
	content := fill(map[string]string{
		"API_KEY":        fresh.APIKey.Reveal(),
		"JWT_SECRET_KEY": fresh.JWTSecretKey.Reveal(),
		"MASTER_KEY":     fresh.MasterKey.Reveal(),
	})
	temporary, err := writeTemporary(filepath.Dir(path), content)
	if failed, ok := errors.AsType[*fs.PathError](err); ok {
		err = failed.Err // without the temporary name
	}
	if err != nil {
		return false, fmt.Errorf("write %s: %w", path, err)
	}
	err = os.Link(temporary, path)
	_ = os.Remove(temporary)
	switch {
	case errors.Is(err, fs.ErrExist):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("write %s: %w", path, err)
	}
	return true, nil
}

// writeTemporary writes content to a new file, readable by this user only (os.CreateTemp does that), and syncs it.
func writeTemporary(dir, content string) (path string, err error) {
	f, err := os.CreateTemp(dir, ".env.tmp-*")
	if err != nil {
		return "", err
	}
	_, err = f.WriteString(content)
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		_ = os.Remove(f.Name())
		return "", err
	}
	return f.Name(), nil
}
