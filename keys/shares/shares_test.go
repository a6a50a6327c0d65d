package shares

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// fleetOf plays instances that divide one limit, each at its own times. What an instance lets through changes when it
// says so, as in Keyring.Divide: less before the others can read it, more after.
type fleetOf struct {
	asked []float64
	said  []Shares
}

func (f *fleetOf) start(asked float64) {
	f.asked, f.said = append(f.asked, asked), append(f.said, nil)
}

// turn lets instance i divide, and says whether the others are told.
func (f *fleetOf) turn(i int) bool {
	var others []Shares
	for j, said := range f.said {
		if j != i {
			others = append(others, Parse(said.Text()))
		}
	}
	next, told := Divide(map[string]float64{"E1": f.asked[i]}, f.said[i], others)
	f.said[i] = next
	return told
}

func (f *fleetOf) parts() (parts []float64, sum float64) {
	for _, said := range f.said {
		part := said.Part("E1", len(f.said))
		parts, sum = append(parts, part), sum+part
	}
	return parts, sum
}

// settle lets all divide until nobody has anything to tell, and says how many rounds it took.
func (f *fleetOf) settle(t *testing.T) {
	t.Helper()
	for range 5 {
		told := false
		for i := range f.said {
			told = f.turn(i) || told
		}
		if !told {
			return
		}
	}
	t.Errorf("after five rounds the instances still tell each other news: asked %v, %v", f.asked, f.said)
}

func TestLimitsAreDividedByDemand(t *testing.T) {
	for _, tt := range []struct {
		asked, want []float64 // each at least this much
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
		for _, asked := range tt.asked {
			f.start(asked)
		}
		f.settle(t)
		parts, _ := f.parts()
		for i, want := range tt.want {
			if parts[i] < want-1e-9 {
				t.Errorf("asked %v: the parts are %.3v, want at least %.3v", tt.asked, parts, tt.want)
				break
			}
		}
	}
}

func TestADivisionEndsWithTheDemand(t *testing.T) {
	var f fleetOf
	f.start(.9)
	f.start(0)
	f.start(0)
	f.settle(t)
	f.asked[0] = 0
	f.settle(t)
	for i, said := range f.said {
		if len(said) != 0 {
			t.Errorf("instance %d still says %v", i, said)
		}
	}
}

// TestPartsNeverAddUpToMore lets the demand jump about while instances divide in any order.
func TestPartsNeverAddUpToMore(t *testing.T) {
	for seed := range uint64(300) {
		random := rand.New(rand.NewPCG(seed, 0))
		var f fleetOf
		for range 2 + random.IntN(5) {
			f.start(random.Float64())
		}
		for step := range 400 {
			i := random.IntN(len(f.said))
			if random.IntN(3) == 0 {
				f.asked[i] = min(1, max(0, 3*random.Float64()-1))
			}
			f.turn(i)
			if parts, sum := f.parts(); sum > 1+1e-9 || math.IsNaN(sum) {
				t.Fatalf("seed %d, step %d: the parts %v add up to %v", seed, step, parts, sum)
			}
			for j, said := range f.said {
				if part := said.Part("E1", len(f.said)); part <= 0 {
					t.Fatalf("seed %d, step %d: instance %d lets nothing through", seed, step, j)
				}
			}
		}
	}
}

// One that comes while others have divided has the even part only until it knows.
func TestAnInstanceThatComesTakesNothingFromTheOthers(t *testing.T) {
	var f fleetOf
	f.start(1)
	f.start(.1)
	f.settle(t)
	f.start(0)
	f.turn(2)
	if _, sum := f.parts(); sum > 1+.05 {
		t.Errorf("the parts add up to %v at once after one has come", sum)
	}
	f.settle(t)
	if parts, sum := f.parts(); sum > 1+1e-9 || parts[0] < .8 {
		t.Errorf("then they are %v", parts)
	}
}

func TestSharesThatCannotBeReadSayNothing(t *testing.T) {
	for _, text := range []string{"", "{", "[]", "null", `{"E1":3}`, `{"E1":{"a":1,"p":"x"}}`} {
		if said := Parse(text); said != nil {
			t.Errorf("%q says %v", text, said)
		}
	}
}

func TestWhatInstancesSayIsBounded(t *testing.T) {
	const instances = 4
	asked := make([]map[string]float64, instances)
	for i := range asked {
		asked[i] = map[string]float64{}
		for j := range 3 * MaxShares { // some keys that others are asked for, and some of its own
			asked[i][fmt.Sprintf("E%04d", j+100*i)] = .9
		}
	}
	said := make([]Shares, instances)
	for range 6 {
		for i := range said {
			var others []Shares
			for j := range said {
				if j != i {
					others = append(others, said[j])
				}
			}
			said[i], _ = Divide(asked[i], said[i], others)
			if len(said[i]) > MaxShares {
				t.Fatalf("instance %d speaks of %d keys", i, len(said[i]))
			}
		}
	}
	for key := range said[0] {
		sum := 0.0
		for i := range said {
			sum += said[i].Part(key, instances)
		}
		if sum > 1+1e-9 {
			t.Errorf("the parts of %s add up to %v", key, sum)
		}
	}
	if len(said[0]) < MaxShares {
		t.Errorf("of the first %d keys %d are divided", MaxShares, len(said[0]))
	}
	if text := said[0].Text(); len(text) > 40*MaxShares {
		t.Errorf("an instance says %d bytes of %d keys", len(text), MaxShares)
	}
}
