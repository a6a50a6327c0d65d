package shares

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// fleetOf simulates instances that share one limit and update their reports in any order.
type fleetOf struct {
	demand   []float64
	reported []Report
}

func (f *fleetOf) start(demand float64) {
	f.demand, f.reported = append(f.demand, demand), append(f.reported, nil)
}

// update updates the report of instance i, and returns whether it is urgent.
func (f *fleetOf) update(i int) bool {
	var others []Report
	for j, reported := range f.reported {
		if j != i {
			others = append(others, Parse(reported.Text()))
		}
	}
	next, urgent := Divide(map[string]float64{"E1": f.demand[i]}, f.reported[i], others)
	f.reported[i] = next
	return urgent
}

func (f *fleetOf) shares() (shares []float64, sum float64) {
	for _, reported := range f.reported {
		share := reported.Share("E1", len(f.reported))
		shares, sum = append(shares, share), sum+share
	}
	return shares, sum
}

// settle updates all reports until none is urgent.
func (f *fleetOf) settle(t *testing.T) {
	t.Helper()
	for range 5 {
		urgent := false
		for i := range f.reported {
			urgent = f.update(i) || urgent
		}
		if !urgent {
			return
		}
	}
	t.Errorf("after five rounds there are still urgent reports: demand %v, %v", f.demand, f.reported)
}

func TestShareByDemand(t *testing.T) {
	for _, tt := range []struct {
		demand, want []float64 // each at least this much
	}{
		{[]float64{0, 0, 0}, []float64{1. / 3, 1. / 3, 1. / 3}},
		{[]float64{.2, .2, .2}, []float64{1. / 3, 1. / 3, 1. / 3}},
		{[]float64{.8, 0, 0}, []float64{.9, .01, .01}},
		{[]float64{1, 0, 0}, []float64{.95, .01, .01}},
		{[]float64{.7, .2, 0}, []float64{.7, .2, .01}},
		{[]float64{1, 1, 1}, []float64{.333, .333, .333}},
		{[]float64{1, .1, 0}, []float64{.85, .09, .01}},
		{[]float64{.5, .5}, []float64{.5, .5}},
		{[]float64{.9, 0, 0, 0, 0, 0, 0, 0, 0, 0}, []float64{.94, .001}},
		{[]float64{1}, []float64{1}},
	} {
		var f fleetOf
		for _, demand := range tt.demand {
			f.start(demand)
		}
		f.settle(t)
		shares, _ := f.shares()
		for i, want := range tt.want {
			if shares[i] < want-1e-9 {
				t.Errorf("demand %v: the shares are %.3v, want at least %.3v", tt.demand, shares, tt.want)
				break
			}
		}
	}
}

func TestShareEndsWithDemand(t *testing.T) {
	var f fleetOf
	f.start(.9)
	f.start(0)
	f.start(0)
	f.settle(t)
	f.demand[0] = 0
	f.settle(t)
	for i, reported := range f.reported {
		if len(reported) != 0 {
			t.Errorf("instance %d still reports %v", i, reported)
		}
	}
}

// The demand of each instance jumps while they update in any order.
func TestShareSumNeverExceedsLimit(t *testing.T) {
	for seed := range uint64(300) {
		random := rand.New(rand.NewPCG(seed, 0))
		var f fleetOf
		for range 2 + random.IntN(5) {
			f.start(random.Float64())
		}
		for step := range 400 {
			i := random.IntN(len(f.reported))
			if random.IntN(3) == 0 {
				f.demand[i] = min(1, max(0, 3*random.Float64()-1))
			}
			f.update(i)
			if shares, sum := f.shares(); sum > 1+1e-9 || math.IsNaN(sum) {
				t.Fatalf("seed %d, step %d: the shares %v add up to %v", seed, step, shares, sum)
			}
			for j, reported := range f.reported {
				if share := reported.Share("E1", len(f.reported)); share <= 0 {
					t.Fatalf("seed %d, step %d: instance %d has no share", seed, step, j)
				}
			}
		}
	}
}

// An instance that starts has an even share only until its first update.
func TestShareOfNewInstance(t *testing.T) {
	var f fleetOf
	f.start(1)
	f.start(.1)
	f.settle(t)
	f.start(0)
	f.update(2)
	if _, sum := f.shares(); sum > 1+.05 {
		t.Errorf("right after its start the shares add up to %v", sum)
	}
	f.settle(t)
	if shares, sum := f.shares(); sum > 1+1e-9 || shares[0] < .8 {
		t.Errorf("after a while the shares are %v", shares)
	}
}

func TestShareReportMalformedIsEmpty(t *testing.T) {
	for _, text := range []string{"", "{", "[]", "null", `{"E1":3}`, `{"E1":{"a":1,"p":"x"}}`} {
		if reported := Parse(text); reported != nil {
			t.Errorf("%q is read as %v", text, reported)
		}
	}
}

func TestShareReportIsBounded(t *testing.T) {
	const instances = 4
	demand := make([]map[string]float64, instances)
	for i := range demand {
		demand[i] = map[string]float64{}
		for j := range 3 * MaxKeys { // some keys are in demand on the other instances, too
			demand[i][fmt.Sprintf("E%04d", j+100*i)] = .9
		}
	}
	reported := make([]Report, instances)
	for range 6 {
		for i := range reported {
			var others []Report
			for j := range reported {
				if j != i {
					others = append(others, reported[j])
				}
			}
			reported[i], _ = Divide(demand[i], reported[i], others)
			if len(reported[i]) > MaxKeys {
				t.Fatalf("instance %d reports %d keys", i, len(reported[i]))
			}
		}
	}
	for key := range reported[0] {
		sum := 0.0
		for i := range reported {
			sum += reported[i].Share(key, instances)
		}
		if sum > 1+1e-9 {
			t.Errorf("the shares of %s add up to %v", key, sum)
		}
	}
	if len(reported[0]) < MaxKeys {
		t.Errorf("of %d keys, %d are divided", MaxKeys, len(reported[0]))
	}
	if text := reported[0].Text(); len(text) > 40*MaxKeys {
		t.Errorf("a report of %d bytes for %d keys", len(text), MaxKeys)
	}
}
