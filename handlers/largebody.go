package handlers

import (
	"context"
	"io"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/gofiber/fiber/v2"
	"golang.org/x/sync/semaphore"
	"golang.org/x/time/rate"

	"github.com/latchkey-api/latchkey/fault"
)

// The bounds of what large open answers may cost, whoever asks for them and however often.
const (
	// smallBody is the largest body that is sent like any other: in bytes, as all sizes here.
	smallBody = 16 << 10
	// sendersAtOnce is how many large bodies are sent at a time. Whoever comes later waits, first come, first served.
	sendersAtOnce = 8
	// senderWait is how long, at most. Then the caller is asked to come again.
	senderWait = 3 * time.Second
	// bytesPerSecond is what all large bodies together are sent with, so that most of a core is left to everybody else.
	// Some 60 pages a second, as a browser loads them, is plenty.
	bytesPerSecond = 32 << 20
	// sendPart is what is written at a time.
	sendPart = 64 << 10
	// readerPatience is how long a reader may take a part before the place goes to somebody else.
	readerPatience = 5 * time.Millisecond
	// sendLimit is how long a body may take in all. The connection's own timeout is not longer.
	sendLimit = 10 * time.Second
)

// outlet sends large bodies, few at a time and with a rate that is shared.
//
// A place is for bytes that move. Who stops reading loses it after readerPatience, costs nothing while waiting for the
// connection, and asks for a place again when the reader goes on: a crowd that never reads keeps nobody from being
// served.
type outlet struct {
	places *semaphore.Weighted
	budget *rate.Limiter
}

func newOutlet() *outlet {
	return &outlet{
		places: semaphore.NewWeighted(sendersAtOnce),
		budget: rate.NewLimiter(bytesPerSecond, sendersAtOnce*sendPart),
	}
}

// send answers body. It waits for a place; the bytes are written when the handler has returned. The error is
// fault.TooManyRequests where no place came free in time.
func (o *outlet) send(c *fiber.Ctx, body []byte) error {
	waiting, cancel := context.WithTimeout(c.UserContext(), senderWait)
	defer cancel()
	if o.places.Acquire(waiting, 1) != nil {
		if err := c.UserContext().Err(); err != nil {
			return err
		}
		c.Set(fiber.HeaderRetryAfter, strconv.Itoa(int(senderWait.Seconds())))
		return fault.New(fault.TooManyRequests)
	}
	large := &largeBody{outlet: o, rest: body}
	large.holds.Store(true)
	large.lease = time.AfterFunc(readerPatience, large.giveBack)
	c.Response().SetBodyStream(large, len(body))
	return nil
}

// largeBody is one body on its way. The engine closes it, whatever becomes of the connection.
type largeBody struct {
	outlet *outlet
	rest   []byte
	holds  atomic.Bool // a place
	lease  *time.Timer // gives it back
}

// giveBack may be called at any time, and more than once.
func (b *largeBody) giveBack() {
	if b.holds.CompareAndSwap(true, false) {
		b.outlet.places.Release(1)
	}
}

// Close gives the place back.
func (b *largeBody) Close() error {
	b.lease.Stop()
	b.giveBack()
	return nil
}

// Read is for who wants a reader; the engine asks for WriteTo.
func (b *largeBody) Read(p []byte) (int, error) {
	if len(b.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p, b.rest)
	b.rest = b.rest[n:]
	return n, nil
}

// WriteTo writes the body from where it is, part by part.
func (b *largeBody) WriteTo(w io.Writer) (written int64, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), sendLimit)
	defer cancel()
	for len(b.rest) > 0 {
		part := b.rest[:min(len(b.rest), sendPart)]
		if err := b.await(ctx, len(part)); err != nil {
			return written, err
		}
		n, err := w.Write(part)
		written += int64(n)
		b.rest = b.rest[n:]
		if err != nil {
			return written, err
		}
	}
	return written, nil
}

// await returns when a part of n bytes may be written: with a place, on a new lease, and within the budget.
func (b *largeBody) await(ctx context.Context, n int) error {
	b.lease.Stop()
	if !b.holds.Load() {
		if err := b.outlet.places.Acquire(ctx, 1); err != nil {
			return err
		}
		b.holds.Store(true)
	}
	if err := b.outlet.budget.WaitN(ctx, n); err != nil {
		return err
	}
	b.lease.Reset(readerPatience)
	return nil
}
