package keys

import (
	"context"
	"time"

	"github.com/latchkey-api/latchkey/fault"
	"github.com/latchkey-api/latchkey/keys/shares"
)

const (
	// measureInterval is how often demand is measured, and the shortest time between two updates of shares.
	measureInterval = 250 * time.Millisecond
	// shareLease is how long after its last heartbeat an instance has its shares. doc.go says how long two leases can overlap.
	shareLease = 4 * time.Second
)

// sharingLoop keeps limits divided until ctx ends. It updates the shares when the epoch has changed, when a heartbeat finds
// shares or another size of the fleet, and when a demand here has become high.
func (k *Keyring) sharingLoop(ctx context.Context) {
	ticker := time.NewTicker(measureInterval)
	defer ticker.Stop()
	for {
		changed := false
		select {
		case <-ticker.C:
		case <-k.fleetChanged:
			changed = true
		case <-ctx.Done():
			return
		}
		if high := k.measureDemand(); changed || high {
			k.report("the shares of this instance", k.UpdateShares(ctx))
		}
		if changed { // signals that come faster than this are taken together
			select {
			case <-ticker.C:
			case <-ctx.Done():
				return
			}
		}
	}
}

// UpdateShares reads the reports of the other instances, divides the limits anew, and writes this instance's report if it
// has changed.
func (k *Keyring) UpdateShares(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	live, err := k.store.Instances(ctx, shareLease)
	if err != nil {
		return err
	}
	this, alive := live[k.instance]
	if !alive {
		return nil // without a heartbeat there is no lease; the next heartbeat asks for shares again
	}
	demand := k.limits.demand()
	own, others := k.readFleet(live)
	// Two comparisons: with what the others can read, and with what is in force here. A write may have been lost on its way.
	if next, _ := shares.Divide(demand, own, others); !shares.Differ(next, shares.Parse(this.Shares)) && !shares.Differ(next, own) {
		return nil
	}
	var next shares.Report
	err = k.store.UpdateShares(ctx, k.instance, shareLease, func(live map[string]Instance) (string, bool) {
		own, others := k.readFleet(live)
		var urgent bool
		next, urgent = shares.Divide(demand, own, others)
		k.lowerShares(next)
		return next.Text(), urgent
	})
	if err != nil {
		if fault.CodeOf(err) == fault.NotFound {
			return nil // the lease has ended meanwhile; the next heartbeat asks for shares again
		}
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.setShares(next)
	return nil
}

// readFleet takes over the size of the fleet, and gives the reports of this instance and of the others.
func (k *Keyring) readFleet(live map[string]Instance) (own shares.Report, others []shares.Report) {
	for id, instance := range live {
		if id != k.instance {
			others = append(others, shares.Parse(instance.Shares))
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if n := len(others) + 1; n != k.fleetSize {
		k.fleetSize = n
		for key := range k.keys {
			k.applyShare(key)
		}
	}
	return k.shares, others
}

// lowerShares takes over the shares that become smaller. It runs before the transaction ends: once the others can read the
// new report, they may take what it leaves.
func (k *Keyring) lowerShares(next shares.Report) {
	k.mu.Lock()
	defer k.mu.Unlock()
	lowered := shares.Report{}
	for _, report := range []shares.Report{k.shares, next} {
		for key := range report {
			lowered[key] = shares.Entry{Share: min(k.share(key), next.Share(key, k.fleetSize))}
		}
	}
	k.setShares(lowered)
}

// share is this instance's share of a key. The caller holds mu.
func (k *Keyring) share(key string) float64 { return k.shares.Share(key, k.fleetSize) }

// setShares takes over shares. The caller holds mu.
func (k *Keyring) setShares(next shares.Report) {
	before := k.shares
	k.shares = next
	for _, report := range []shares.Report{before, next} {
		for key := range report {
			k.applyShare(key)
		}
	}
}

// applyShare sets the limit of a cached key to its share. The caller holds mu.
func (k *Keyring) applyShare(key string) {
	if held := k.keys[key]; held != nil && held.limit != nil {
		held.limit.setShare(k.share(key), k.fleetSize)
	}
}

// measureDemand measures, and reports whether the demand of a key has become high of which this instance reports nothing
// yet.
func (k *Keyring) measureDemand() bool {
	k.limits.measure(k.monotonic())
	k.mu.RLock()
	defer k.mu.RUnlock()
	if k.fleetSize < 2 || len(k.shares) >= shares.MaxKeys {
		return false
	}
	for id, demand := range k.limits.demand() {
		if _, reported := k.shares[id]; !reported && shares.HighDemand(demand, k.fleetSize) {
			return true
		}
	}
	return false
}
