package store

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
)

// listenCheck is how often a connection on which nothing is heard must show that it still leads to the server.
const listenCheck = 5 * time.Second

// listenAgain is how often a way to the server through a pooler is looked at anew.
const listenAgain = time.Minute

var errPooled = errors.New("a pooler stands before the server")

// listenPostgres listens to the server until ctx ends or the connection is lost. It is only for speed, everybody polls as
// well: through a pooler, where nobody can listen, it does nothing but look now and then whether it is still there.
func listenPostgres(ctx context.Context, config *pgx.ConnConfig, logger *slog.Logger, heard func()) error {
	for first := true; ; first = false {
		err := listenOnce(ctx, config, heard)
		if !errors.Is(err, errPooled) {
			return err
		}
		if first {
			logger.Info("the store does not tell of changes, because a pooler stands before it; they are asked for instead")
		}
		select {
		case <-time.After(listenAgain):
		case <-ctx.Done():
			return nil
		}
	}
}

// listenOnce listens on a connection of its own, beside the pool. A LISTEN that went through a pooler would stay behind on
// a connection of somebody else.
func listenOnce(ctx context.Context, config *pgx.ConnConfig, heard func()) error {
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
	err = withTimeout(ctx, postgresTimeout, func(ctx context.Context) error {
		pooled, err := isPooled(ctx, conn)
		if pooled {
			return errPooled
		}
		if err == nil {
			_, err = conn.Exec(ctx, "LISTEN latchkey")
		}
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
			err = withTimeout(ctx, postgresTimeout, conn.Ping)
		} else if err == nil {
			heard()
		}
		if err != nil {
			return err
		}
	}
}
