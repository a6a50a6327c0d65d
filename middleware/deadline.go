package middleware

import (
	"context"
	"sync"
	"time"

	"github.com/gofiber/fiber/v2"
)

// deadline gives every request a context that ends after timeout. Most requests never wait for anything, so the timer
// behind it is made only when somebody asks for its Done channel: a timer a request costs a microsecond and four
// allocations.
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
	real    context.Context //nolint:containedctx // this type is a context; the real one is what it stands for
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

// Value asks the real context, if there is one, so that a context derived from this one finds its parent and needs no
// goroutine to watch it.
func (l *lazyContext) Value(key any) any {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.real == nil {
		return nil
	}
	return l.real.Value(key)
}

// stop releases the timer and ends what still runs on behalf of a request that was answered.
func (l *lazyContext) stop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stopped = true
	if l.cancel != nil {
		l.cancel()
	}
}
