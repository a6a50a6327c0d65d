package integration

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/latchkey-api/latchkey/integration/harness"
)

// checkFleetRevocation: a key that one instance revokes is refused by the other: with NOTIFY, without it, without the store.
func checkFleetRevocation(t *testing.T, bin string) {
	databaseURL, _ := harness.NewDatabase(t)
	line, lineURL := harness.NewCable(t, databaseURL)
	fleet := harness.StartFleet(t, bin, databaseURL, lineURL)
	one, two := fleet[0], fleet[1]
	harness.Eventually(t, harness.StartTimeout, "the second instance listens", func() bool { return line.Listeners.Load() > 0 })
	before := harness.SumMetric(two.OpsPage(t, "/metrics"), "latchkey_revocation_propagation_seconds_count")

	var notified, polled []time.Duration
	t.Run("with NOTIFY", func(t *testing.T) {
		notified = revocations(t, fleet, 100)
		if most := notified[len(notified)-1]; most > time.Second {
			t.Errorf("the other instance refused after %v", most)
		}
		metrics := two.OpsPage(t, "/metrics")
		count := harness.SumMetric(metrics, "latchkey_revocation_propagation_seconds_count") - before
		seconds := harness.SumMetric(metrics, "latchkey_revocation_propagation_seconds_sum")
		if count != 100 || seconds <= 0 || seconds > 100 {
			t.Errorf("latchkey_revocation_propagation_seconds has %v revocations and %v s, want 100 and less", count, seconds)
		}
	})
	t.Run("without NOTIFY", func(t *testing.T) {
		line.DropNotices.Store(true)
		defer line.DropNotices.Store(false)
		polled = revocations(t, fleet, 20)
		if most := polled[len(polled)-1]; most > time.Second {
			t.Errorf("without NOTIFY the other instance refused after %v", most)
		}
	})
	if len(notified) > 0 && len(polled) > 0 && notified[len(notified)/2] > polled[len(polled)/2]/2 {
		t.Errorf("NOTIFY saves too little: %v with it, %v without", notified[len(notified)/2], polled[len(polled)/2])
	}
	t.Run("store unreachable", func(t *testing.T) { checkCutOff(t, fleet, line) })
	t.Run("paused", func(t *testing.T) { checkPaused(t, fleet) })
	t.Run("wait", func(t *testing.T) {
		key, token := harness.WarmKey(t, fleet)
		a := one.AsAdmin(t, http.MethodPost, "/service/keys/"+key.ID+"/revoke?wait=true", "")
		if strings.Count(a.Body, `"instance"`) != 2 || !strings.Contains(a.Body, `"late":[]`) {
			t.Errorf("two instances should have confirmed: %s", a.Body)
		}
		for _, p := range fleet {
			if status := p.WhoamiStatus(t, token); status != http.StatusUnauthorized {
				t.Errorf("confirmed, and %d", status)
			}
		}
	})
}

// revocations revokes n keys on the first instance. It gives, sorted, the times from each request to revoke until the second
// instance refused the key.
func revocations(t *testing.T, fleet []*harness.Process, n int) []time.Duration {
	t.Helper()
	took := make([]time.Duration, n)
	for i := range took {
		key, token := harness.WarmKey(t, fleet)
		began := time.Now()
		fleet[0].AsAdmin(t, http.MethodPost, "/service/keys/"+key.ID+"/revoke", "").Is(t, http.StatusOK, "")
		for {
			status := fleet[1].WhoamiStatus(t, token)
			took[i] = time.Since(began)
			if status == http.StatusUnauthorized {
				break
			}
			if status != http.StatusOK || took[i] > harness.StartTimeout {
				t.Fatalf("after %v: %d", took[i], status)
			}
		}
	}
	slices.Sort(took)
	t.Logf("%d revocations, until the other instance refused: median %v, maximum %v",
		n, took[n/2].Round(time.Microsecond), took[n-1].Round(time.Microsecond))
	return took
}

// checkCutOff: an instance that cannot reach the store uses its snapshot for five seconds, and then answers 503.
func checkCutOff(t *testing.T, fleet []*harness.Process, line *harness.Cable) {
	one, two := fleet[0], fleet[1]
	_, good := harness.WarmKey(t, fleet)
	key, revoked := harness.WarmKey(t, fleet)
	line.Cut()
	cut := time.Now()
	one.AsAdmin(t, http.MethodPost, "/service/keys/"+key.ID+"/revoke", "").Is(t, http.StatusOK, "")
	statuses := map[string]int{}
	for time.Since(cut) < 7*time.Second {
		for name, token := range map[string]string{"good": good, "revoked": revoked} {
			sent := time.Since(cut)
			status := two.WhoamiStatus(t, token)
			statuses[fmt.Sprint(name, " ", status)]++
			if late := sent > 5500*time.Millisecond; late && status != http.StatusServiceUnavailable || status == http.StatusUnauthorized {
				t.Fatalf("%v after the cut: %d for the %s key", sent, status, name)
			}
		}
	}
	t.Logf("cut off for 7 s: %v", statuses)
	if status := two.WhoamiStatus(t, two.Secrets.Token()); status != http.StatusOK {
		t.Errorf("the shared key, which needs no store: %d", status)
	}
	listened := line.Listeners.Load()
	line.Join(t)
	joined := time.Now()
	harness.Eventually(t, harness.StartTimeout, "the good key is accepted again", func() bool {
		if status := two.WhoamiStatus(t, revoked); status == http.StatusOK {
			t.Error("the revoked key is accepted again")
		}
		return two.WhoamiStatus(t, good) == http.StatusOK
	})
	t.Logf("accepted again %v after the store was back", time.Since(joined).Round(time.Millisecond))
	if status := two.WhoamiStatus(t, revoked); status != http.StatusUnauthorized {
		t.Errorf("the revoked key, with the store back: %d", status)
	}
	two.WaitReady(t)
	harness.Eventually(t, harness.StartTimeout, "the instance listens again", func() bool { return line.Listeners.Load() > listened })
}

// checkPaused: an instance that was paused does not use its old snapshot.
func checkPaused(t *testing.T, fleet []*harness.Process) {
	one, two := fleet[0], fleet[1]
	key, token := harness.WarmKey(t, fleet)
	resume := two.Pause(t)
	defer resume()
	one.AsAdmin(t, http.MethodPost, "/service/keys/"+key.ID+"/revoke", "").Is(t, http.StatusOK, "")
	// These requests wait, and are the first that the instance reads after the pause.
	var callers sync.WaitGroup
	var accepted, refused atomic.Int64
	for range 20 {
		callers.Go(func() {
			switch status := two.WhoamiStatus(t, token); status {
			case http.StatusUnauthorized, http.StatusServiceUnavailable:
				refused.Add(1)
			default:
				accepted.Add(1)
			}
		})
	}
	// Longer than a snapshot may be used.
	<-time.After(6 * time.Second)
	resume()
	callers.Wait()
	if accepted.Load() > 0 {
		t.Errorf("%d of the first requests after a pause were not refused", accepted.Load())
	}
	t.Logf("paused for 6 s: %d refused", refused.Load())
	two.WaitReady(t)
}

// checkFleetLimit: a key's limit holds for all instances together, and one instance alone can use nearly all of it.
func checkFleetLimit(t *testing.T, bin string) {
	databaseURL, _ := harness.NewDatabase(t)
	fleet := harness.StartFleet(t, bin, databaseURL, databaseURL, databaseURL)
	const rate, burst = 50, 50
	t.Run("demand at all instances", func(t *testing.T) {
		key, _ := fleet[0].IssueKey(t, harness.Body{"rate": rate, "burst": burst})
		const seconds, offered = 10, 300
		began := time.Now()
		var load sync.WaitGroup
		counts := make([][]int, len(fleet))
		for i, p := range fleet {
			load.Go(func() { counts[i] = offer(t, p, key.Token(), offered/len(fleet), seconds) })
		}
		load.Wait()
		took := time.Since(began).Seconds()
		through, sent := 0, 0
		for i := range fleet {
			for _, n := range counts[i] {
				through += n
			}
			sent += offered / len(fleet) * seconds
		}
		bound := rate*(took+3) + burst + float64(len(fleet))
		t.Logf("%d of %d requests let through in %.1f s: rate x time is %.0f, the bound %.0f", through, sent, took, rate*took, bound)
		if float64(through) > bound {
			t.Errorf("%d requests were let through, at most %.0f may be", through, bound)
		}
		// Without this check, refusing everything would pass.
		if least := rate * took * .9; float64(through) < least {
			t.Errorf("%d requests were let through, want at least %.0f", through, least)
		}
	})
	t.Run("demand at one instance", func(t *testing.T) {
		key, _ := fleet[0].IssueKey(t, harness.Body{"rate": rate, "burst": burst})
		const seconds, offered = 10, 40
		counts := offer(t, fleet[1], key.Token(), offered, seconds)
		through := 0
		for _, n := range counts[2:] {
			through += n
		}
		share := float64(through) / float64(offered*(seconds-2))
		t.Logf("let through in each second, of %d: %v; from the third on %.1f %%", offered, counts, 100*share)
		if share < .95 {
			t.Errorf("from the third second on %.1f %% were let through", 100*share)
		}
	})
}

// offer sends perSecond requests in each second. It gives how many of each second were accepted.
func offer(t *testing.T, p *harness.Process, token string, perSecond, seconds int) []int {
	t.Helper()
	through := make([]atomic.Int64, seconds)
	ctx, cancel := context.WithTimeout(t.Context(), time.Duration(seconds)*2*time.Second)
	defer cancel()
	var under sync.WaitGroup
	began := time.Now()
	for i := range perSecond * seconds {
		due := began.Add(time.Duration(i) * time.Second / time.Duration(perSecond))
		select {
		case <-time.After(time.Until(due)):
		case <-ctx.Done():
			t.Error("the requests took twice their time")
			return nil
		}
		under.Go(func() {
			switch status := p.WhoamiStatus(t, token); status {
			case http.StatusOK:
				through[i/perSecond].Add(1)
			case http.StatusTooManyRequests:
			default:
				t.Errorf("a request within or over the limit: %d", status)
			}
		})
	}
	under.Wait()
	counts := make([]int, seconds)
	for i := range counts {
		counts[i] = int(through[i].Load())
	}
	return counts
}
