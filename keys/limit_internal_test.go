package keys

import (
	"testing"
	"time"
)

// Clients call at regular intervals, and stop.
func TestDemandIsMeasured(t *testing.T) {
	for _, tt := range []struct {
		rate, every   float64 // requests a second, and the seconds between two of them
		least         float64 // what is measured once it is known, as a fraction of the rate
		known, forget time.Duration
	}{
		{50, 1. / 40, .75, 4 * time.Second, 12 * time.Second},
		{50, 1. / 400, 1, 2 * time.Second, 12 * time.Second},
		{.1, 10, .7, 3 * time.Minute, 6 * time.Minute}, // seldom is not never
	} {
		var all limits
		r := Record{ID: "E1", Rate: tt.rate, Burst: 1}
		l := newLimit(&r, nil, &all)
		caller := Principal{key: &Key{limit: l}}
		next := 0.0
		for now := measureInterval; now <= tt.known+tt.forget; now += measureInterval {
			for ; next < now.Seconds() && next < tt.known.Seconds(); next += tt.every {
				caller.Take()
			}
			all.measure(now)
			if demand := all.demand()["E1"]; now > tt.known-30*measureInterval/10 && now <= tt.known && demand < tt.least {
				t.Errorf("a call every %v s of %v/s: measured %v after %v, want %v", tt.every, tt.rate, demand, now, tt.least)
			}
		}
		if demand, known := all.demand()["E1"]; known {
			t.Errorf("a call every %v s of %v/s: still %v, %v after the last one", tt.every, tt.rate, demand, tt.forget)
		}
	}
}

func TestQuotaWaitCountsOnLargerShare(t *testing.T) {
	var all limits
	r := Record{ID: "E1", Rate: 1, Burst: 10}
	l := newLimit(&r, nil, &all)
	l.setShare(1e-3, 5)
	caller := Principal{key: &Key{limit: l}}
	caller.Take()
	caller.Take()
	if q := caller.Take(); q.Allowed || q.Wait > 3*time.Second || q.Reset > 12*time.Second || q.Burst != 10 || q.Window != 10*time.Second {
		t.Errorf("refused with a share of a thousandth: %+v", q)
	}
}
