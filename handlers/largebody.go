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

// Bounds for the cost of large answers that need no token, however many clients ask for them.
const (
	// smallBody is the size in bytes up to which a body is sent without these bounds.
	smallBody = 16 << 10
	// sendersAtOnce is how many large bodies are sent at a time. Others wait in order.
	sendersAtOnce = 8
	// senderWait is how long they wait at most. Then the answer is 429.
	senderWait = 3 * time.Second
	// bytesPerSecond is the rate of all large bodies together, so that most of a core is left for other requests. It is enough
	// for about 60 loads of the page a second.
	bytesPerSecond = 32 << 20
	// sendPart is how many bytes are written at a time.
	sendPart = 64 << 10
	// slotLease is how long a sender keeps its slot while the client reads nothing.
	slotLease = 5 * time.Millisecond
	// sendTimeout is for a whole body. The connection's own timeout is not longer.
	sendTimeout = 10 * time.Second
)

// largeBodies sends large bodies: few at a time, at a shared rate.
//
// A slot is for a client that reads. If the client stops, the slot is released after slotLease, and taken again when the client
// reads on. So clients that never read do not keep others from being served.
type largeBodies struct {
	slots  *semaphore.Weighted
	budget *rate.Limiter
}

func newLargeBodies() *largeBodies {
	return &largeBodies{
		slots:  semaphore.NewWeighted(sendersAtOnce),
		budget: rate.NewLimiter(bytesPerSecond, sendersAtOnce*sendPart),
	}
}

// send answers with body. It waits for a slot; the bytes are written after the handler has returned. The error is
// fault.TooManyRequests if no slot was free in time.
func (o *largeBodies) send(c *fiber.Ctx, body []byte) error {
	waiting, cancel := context.WithTimeout(c.UserContext(), senderWait)
	defer cancel()
	if o.slots.Acquire(waiting, 1) != nil {
		if err := c.UserContext().Err(); err != nil {
			return err
		}
		c.Set(fiber.HeaderRetryAfter, strconv.Itoa(int(senderWait.Seconds())))
		return fault.New(fault.TooManyRequests)
	}
	large := &largeBody{sender: o, rest: body}
	large.holds.Store(true)
	large.lease = time.AfterFunc(slotLease, large.release)
	c.Response().SetBodyStream(large, len(body))
	return nil
}

// largeBody is one body that is being sent. The engine closes it, also when the connection fails.
type largeBody struct {
	sender *largeBodies
	rest   []byte
	holds  atomic.Bool // a slot
	lease  *time.Timer // releases it
}

// release releases the slot. It may be called at any time, and more than once.
func (b *largeBody) release() {
	if b.holds.CompareAndSwap(true, false) {
		b.sender.slots.Release(1)
	}
}

// Close releases the slot.
func (b *largeBody) Close() error {
	b.lease.Stop()
	b.release()
	return nil
}

// Read makes it an io.Reader; the engine calls WriteTo.
func (b *largeBody) Read(p []byte) (int, error) {
	if len(b.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p, b.rest)
	b.rest = b.rest[n:]
	return n, nil
}

// WriteTo writes the body in parts, without copying it.
func (b *largeBody) WriteTo(w io.Writer) (written int64, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), sendTimeout)
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

// await waits for a slot and for the rate, until n bytes may be written. It renews the lease.
func (b *largeBody) await(ctx context.Context, n int) error {
	b.lease.Stop()
	if !b.holds.Load() {
		if err := b.sender.slots.Acquire(ctx, 1); err != nil {
			return err
		}
		b.holds.Store(true)
	}
	if err := b.sender.budget.WaitN(ctx, n); err != nil {
		return err
	}
	b.lease.Reset(slotLease)
	return nil
}
