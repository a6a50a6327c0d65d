package integration

import (
	"os"
	"runtime"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"

	"github.com/latchkey-api/latchkey/integration/harness"
)

// checkPostgres checks the contract on a PostgreSQL database.
func checkPostgres(t *testing.T, bin string) {
	databaseURL, db := harness.NewDatabase(t)
	p := harness.StartProcess(t, bin, map[string]string{"DATABASE_URL": databaseURL})
	p.Files = func(t *testing.T) map[string]string { return harness.ReadTables(t, db) }
	checkContract(t, &p.Target)
	if _, err := os.Stat(p.Cmd.Dir + "/latchkey.db"); err == nil {
		t.Error("there is a SQLite store, too")
	}
	if code := p.Stop(t); code != 0 {
		t.Errorf("the program ended with code %d", code)
	}
}

// checkContainerOnPostgres checks the contract on a container with a PostgreSQL database.
func checkContainerOnPostgres(t *testing.T, image string) {
	if runtime.GOOS != "linux" {
		t.Skip("NOT TESTED: containers share Unix sockets with the host on Linux only")
	}
	databaseURL, db := harness.NewDatabase(t)
	folder, socketURL := harness.NewSocket(t, databaseURL, "/postgres")
	volume := "latchkey-" + harness.FreshName()
	c := harness.StartContainerWith(t, image, harness.FreshSecrets(), harness.ContainerSpec{
		Env:    map[string]string{"DATABASE_URL": socketURL},
		Volume: volume,
		Host: func(hc *container.HostConfig) {
			harness.MountVolume(volume, nil)(hc)
			hc.Mounts = append(hc.Mounts, mount.Mount{Type: mount.TypeBind, Source: folder, Target: "/postgres"})
		},
	})
	c.Files = func(t *testing.T) map[string]string { return harness.ReadTables(t, db) }
	checkContract(t, &c.Target)
}
