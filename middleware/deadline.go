package middleware

import (
	"context"
	"sync"
	"time"

	"github.com/gofiber/fiber/v2"
)

// deadline gives every request a context that ends after timeout. Most requests wait for nothing, so the timer is made
// only when Done is called: a timer costs a microsecond and four allocations.
func deadline(timeout time.Duration) fiber.Handler {
	return func(c *fiber.Ctx) error {
		ctx := &requestOf(c.Context()).deadline
		ctx.at = time.Now().Add(timeout)
		c.SetUserContext(ctx)
		defer ctx.stop()
		return c.Next()
	}
}

// lazyContext is context.WithDeadline(context.Background(), at), made at the first call of Done.
type lazyContext struct {
	at time.Time

	mu      sync.Mutex
	real    context.Context //nolint:containedctx // this type is itself a context, and makes the real one late
	cancel  context.CancelFunc
	stopped bool
}

var _ context.Context = (*lazyContext)(nil)

func (l *lazyContext) Deadline() (time.Time, bool) { return l.at, true }

func (l *lazyContext) Done() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.real == nil {
		l.real, l.cancel = context.WithDeadline(context.Background(), l.at)
		if l.stopped {
			l.cancel()
		}
	}
	return l.real.Done()
}

func (l *lazyContext) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.real != nil:
		return l.real.Err()
	case l.stopped:
		return context.Canceled
	case !time.Now().Before(l.at):
		return context.DeadlineExceeded
	default:
		return nil
	}
}

// Value passes the question on to the real context. That is how package context finds the parent of a derived context;
// otherwise each derived context would need a goroutine.
func (l *lazyContext) Value(key any) any {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.real == nil {
		return nil
	}
	return l.real.Value(key)
}

// stop releases the timer, and cancels what still runs for the request, which has been answered.
func (l *lazyContext) stop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stopped = true
	if l.cancel != nil {
		l.cancel()
	}
}
