package integration

import (
	"os"
	"runtime"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
)

// checkPostgres proves the program with a database of its own on the server at TEST_POSTGRES_URL.
func checkPostgres(t *testing.T, bin string) {
	databaseURL, db := newDatabase(t)
	p := startProcess(t, bin, map[string]string{"DATABASE_URL": databaseURL})
	p.files = func(t *testing.T) map[string]string { return tables(t, db) }
	checkContract(t, &p.target)
	if _, err := os.Stat(p.cmd.Dir + "/latchkey.db"); err == nil {
		t.Error("there is a SQLite store, too")
	}
	if code := p.stop(t); code != 0 {
		t.Errorf("the program ended with code %d", code)
	}
}

// checkContainerOnPostgres proves the container with such a database.
func checkContainerOnPostgres(t *testing.T, image string) {
	if runtime.GOOS != "linux" {
		t.Skip("NOT TESTED: a container shares sockets with Linux alone")
	}
	databaseURL, db := newDatabase(t)
	folder, socketURL := newSocket(t, databaseURL, "/postgres")
	volume := "latchkey-" + freshName()
	c := startContainerWith(t, image, freshSecrets(), containerSpec{
		env:    map[string]string{"DATABASE_URL": socketURL},
		volume: volume,
		host: func(hc *container.HostConfig) {
			mounted(volume, nil)(hc)
			hc.Mounts = append(hc.Mounts, mount.Mount{Type: mount.TypeBind, Source: folder, Target: "/postgres"})
		},
	})
	c.files = func(t *testing.T) map[string]string { return tables(t, db) }
	checkContract(t, &c.target)
}
