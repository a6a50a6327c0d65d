package store

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
)

// listenCheck is how often a connection on which nothing is heard must show that it still leads to the server.
const listenCheck = 5 * time.Second

// listenPostgres listens on a connection of its own, beside the pool, until ctx ends or the connection is lost. It is
// only for speed: a pooler may keep LISTEN from working, and everybody polls as well.
func listenPostgres(ctx context.Context, config *pgx.ConnConfig, heard func()) error {
	conn, err := pgx.ConnectConfig(ctx, config.Copy()) // each address has postgresLimit
	if err != nil {
		return err
	}
	defer func() {
		// A server that hangs does not hear goodbye.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), postgresPing)
		defer cancel()
		_ = conn.Close(ctx)
	}()
	err = limited(ctx, postgresLimit, func(ctx context.Context) error {
		_, err := conn.Exec(ctx, "LISTEN latchkey")
		return err
	})
	if err != nil {
		return err
	}
	heard()
	for {
		waiting, cancel := context.WithTimeout(ctx, listenCheck)
		_, err := conn.WaitForNotification(waiting)
		cancel()
		if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
			err = limited(ctx, postgresLimit, conn.Ping)
		} else if err == nil {
			heard()
		}
		if err != nil {
			return err
		}
	}
}
