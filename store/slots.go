package store

import (
	"context"
	"errors"
	"time"
)

var errClosed = errors.New("the store is closed")

// withQueue is a pool with a queue before the slots of p. However many operations are in the queue, at most width of them
// hold a slot or wait for one. So operations on p itself wait behind no more than that.
func (p *pool) withQueue(width int) *pool {
	q := newPool(p.db, 0, p.closing)
	q.slots, q.queue = p.slots, make(chan struct{}, width)
	return q
}

// sharingSlots is another pool with the slots of p.
func (p *pool) sharingSlots() *pool {
	q := newPool(p.db, 0, p.closing)
	q.slots, q.queue = p.slots, p.queue
	return q
}

// acquire takes a slot, or returns why there is none. It compares deadlines itself: a request's context may have a deadline
// without a timer, because a timer for each request costs more than the read.
func (p *pool) acquire(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if deadline, limited := ctx.Deadline(); limited && !time.Now().Before(deadline) {
		return context.DeadlineExceeded
	}
	select {
	case <-p.closing:
		return errClosed
	default:
	}
	if p.queue == nil {
		return p.take(ctx, p.slots)
	}
	if err := p.take(ctx, p.queue); err != nil {
		return err
	}
	err := p.take(ctx, p.slots)
	if err != nil {
		<-p.queue
	}
	return err
}

// take takes one of slots, or returns why there is none.
func (p *pool) take(ctx context.Context, slots chan struct{}) error {
	select {
	case slots <- struct{}{}:
		return nil
	default:
	}
	if deadline, limited := ctx.Deadline(); limited {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline)
		defer cancel()
	}
	select {
	case slots <- struct{}{}:
		return nil
	case <-p.closing:
		return errClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p *pool) release() {
	<-p.slots
	if p.queue == nil {
		return
	}
	if pause := p.pause(); pause > 0 {
		time.AfterFunc(pause, func() { <-p.queue })
		return
	}
	<-p.queue
}

const (
	// restFactor is the time for each list, work and rest, in multiples of its work. So lists take a sixth of one core, however
	// many clients read them. Without rests they take all of it: while goroutines are runnable, the runtime polls the network
	// only every ten milliseconds.
	restFactor = 6
	// restDebt is the rest that may be owed before the queue closes, so that a client that reads a few pages never waits.
	restDebt = 60 * time.Millisecond
	// mostRest is the longest rest for one list: one slow list must not delay the others for long.
	mostRest = 25 * time.Millisecond
	// leastRest is the shortest rest; shorter ones add up.
	leastRest = 500 * time.Microsecond
)

// charge adds the rest for an operation that kept a core busy for so long.
func (p *pool) charge(took time.Duration) {
	if !p.throttled {
		return
	}
	p.rest.Lock()
	defer p.rest.Unlock()
	if now := time.Now(); p.rest.until.Before(now) {
		p.rest.until = now
	}
	p.rest.until = p.rest.until.Add(min(restFactor*took, mostRest))
}

// pause is how long the slot in the queue is kept after an operation.
func (p *pool) pause() time.Duration {
	p.rest.Lock()
	defer p.rest.Unlock()
	if pause := time.Until(p.rest.until.Add(-restDebt)); pause >= leastRest {
		return pause
	}
	return 0
}

// drain waits until no operation is in flight, or until the timeout. It keeps the slots.
func (p *pool) drain(timeout time.Duration) {
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	for range cap(p.slots) {
		select {
		case p.slots <- struct{}{}:
		case <-timer.C:
			return
		}
	}
}
