package store

import (
	"context"
	"errors"
	"time"
)

var errClosed = errors.New("the store is closed")

// behind is a line for the places of p. However many wait in it, at most width of them hold a place or wait for one, so
// who comes to p itself waits for no more of them than these.
func (p *pool) behind(width int) *pool {
	q := newPool(p.db, 0, p.closing)
	q.places, q.line = p.places, make(chan struct{}, width)
	return q
}

// beside is another pool in the places of p.
func (p *pool) beside() *pool {
	q := newPool(p.db, 0, p.closing)
	q.places, q.line = p.places, p.line
	return q
}

// acquire takes a place, or says why there is none. A deadline counts also where nothing watches it: a caller may pass
// a context that only knows the time, because a timer for each request costs more than the read.
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
	if p.line == nil {
		return p.take(ctx, p.places)
	}
	if err := p.take(ctx, p.line); err != nil {
		return err
	}
	err := p.take(ctx, p.places)
	if err != nil {
		<-p.line
	}
	return err
}

// take takes one of places, or says why there is none.
func (p *pool) take(ctx context.Context, places chan struct{}) error {
	select {
	case places <- struct{}{}:
		return nil
	default:
	}
	if deadline, limited := ctx.Deadline(); limited {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline)
		defer cancel()
	}
	select {
	case places <- struct{}{}:
		return nil
	case <-p.closing:
		return errClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p *pool) release() {
	<-p.places
	if p.line == nil {
		return
	}
	if pause := p.pause(); pause > 0 {
		time.AfterFunc(pause, func() { <-p.line })
		return
	}
	<-p.line
}

const (
	// restFactor is how long the line stands still for work in this process, in times of the work: a crowd that reads lists
	// has a sixth of one core. Without rests it has all of it: where there is always something to run, the runtime looks
	// only every ten milliseconds whether requests have come.
	restFactor = 6
	// restDebt is what may be worked before a rest, as rest; whoever reads some pages waits for nothing.
	restDebt = 60 * time.Millisecond
	// mostRest is the longest rest for one list: others must not wait long because one was slow.
	mostRest = 25 * time.Millisecond
	// leastRest is how long a rest is at least; shorter ones are added up.
	leastRest = 500 * time.Microsecond
)

// worked says how long whoever has a place kept a core busy.
func (p *pool) worked(took time.Duration) {
	if !p.rests {
		return
	}
	p.rest.Lock()
	defer p.rest.Unlock()
	if now := time.Now(); p.rest.until.Before(now) {
		p.rest.until = now
	}
	p.rest.until = p.rest.until.Add(min(restFactor*took, mostRest))
}

// pause is for how long a place in the line is not given back yet.
func (p *pool) pause() time.Duration {
	p.rest.Lock()
	defer p.rest.Unlock()
	if pause := time.Until(p.rest.until.Add(-restDebt)); pause >= leastRest {
		return pause
	}
	return 0
}

// drain waits until no operation is in flight, or until patience ends. The places are not given back.
func (p *pool) drain(patience time.Duration) {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for range cap(p.places) {
		select {
		case p.places <- struct{}{}:
		case <-timer.C:
			return
		}
	}
}
