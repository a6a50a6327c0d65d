package store

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
)

// listenCheck is how often a silent connection is checked.
const listenCheck = 5 * time.Second

// listenAgain is how often it checks whether the pooler is still there.
const listenAgain = time.Minute

var errPooled = errors.New("there is a pooler before the server")

// listenPostgres listens for notifications until ctx ends or the connection is lost. Notifications only make changes faster; all
// instances poll as well. Through a pooler LISTEN does not work, so it only checks now and then whether the pooler is gone.
func listenPostgres(ctx context.Context, config *pgx.ConnConfig, logger *slog.Logger, heard func()) error {
	for first := true; ; first = false {
		err := listenOnce(ctx, config, heard)
		if !errors.Is(err, errPooled) {
			return err
		}
		if first {
			logger.Info("the store sends no notifications of changes, because there is a pooler before it: this instance polls for them")
		}
		select {
		case <-time.After(listenAgain):
		case <-ctx.Done():
			return nil
		}
	}
}

// listenOnce listens on a connection of its own, beside the pool. It never sends LISTEN through a pooler, where it would stay on a
// connection that others use.
func listenOnce(ctx context.Context, config *pgx.ConnConfig, heard func()) error {
	conn, err := pgx.ConnectConfig(ctx, config.Copy()) // each address has postgresTimeout
	if err != nil {
		return err
	}
	defer func() {
		// A server that hangs does not answer.
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
