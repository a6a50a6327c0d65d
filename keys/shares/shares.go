// Package shares divides the limit of a key among the instances of a fleet. It is arithmetic only, without clock and store.
//
// Each instance has a share of the limit, a fraction of it. As long as the demand of no instance is high, each has an even
// share, and nobody reports anything. Where the demand of one exceeds demandThreshold of an even share, all instances report
// their demand and their share, and each moves its share to its part of the sum of all demands.
//
// The shares that are in force never add up to more than the whole limit: an instance lowers its share at once, and raises
// it only by what the others have left. Package keys says when these rules hold and when not.
package shares

import (
	"encoding/json"
	"maps"
	"math"
	"slices"
)

const (
	// demandThreshold is the fraction of an even share above which demand is high.
	demandThreshold = 0.8
	// idleDemand is added to the demand of every instance, as a fraction of an even share: an idle instance keeps a share for
	// its first requests.
	idleDemand = 0.05
	// urgentDecrease is the decrease of a share of which the others must hear at once, not with their next heartbeat.
	urgentDecrease = 0.05
	// minDemandChange is the change of a demand that is worth a new report.
	minDemandChange = 0.05
	// tolerance is the difference up to which two shares are equal.
	tolerance = 1e-6
	// MaxKeys is how many keys one instance reports at most. Every instance reads all reports, so this bounds the cost. Other
	// keys stay divided evenly.
	MaxKeys = 200
	// resolution is the number of steps from 0 to 1 in a report.
	resolution = 1e4
)

// Entry is what an instance reports of one key. Both numbers are fractions of the key's rate, from 0 to 1.
type Entry struct {
	// Demand is the requests that come to the instance.
	Demand float64 `json:"a"`
	// Share is the requests that it lets pass at most.
	Share float64 `json:"p"`
}

// Report is what an instance reports, by key. Of a key that is not in it, the instance has an even share.
type Report map[string]Entry

// Parse reads a text of a report. A malformed one is empty.
func Parse(text string) Report {
	var parsed Report
	if text == "" || json.Unmarshal([]byte(text), &parsed) != nil {
		return nil
	}
	return parsed
}

// Text is what Parse reads.
func (r Report) Text() string {
	if len(r) == 0 {
		return ""
	}
	text, _ := json.Marshal(r) //nolint:errchkjson // the numbers are finite
	return string(text)
}

// Share is the share of a key that an instance with this report has, in a fleet of so many instances.
func (r Report) Share(key string, fleetSize int) float64 {
	if entry, ok := r[key]; ok {
		return entry.Share
	}
	return 1 / float64(fleetSize)
}

// HighDemand reports whether a demand is so high that the limit must be divided by demand.
func HighDemand(demand float64, fleetSize int) bool {
	return demand > demandThreshold/float64(fleetSize)
}

// Divide gives the next report of an instance, from its demand by key, its last report and the last ones of the others. It
// is urgent where the others must hear of it at once.
func Divide(demand map[string]float64, own Report, others []Report) (next Report, urgent bool) {
	fleetSize := len(others) + 1
	even := 1 / float64(fleetSize)
	next = Report{}
	for _, key := range reportedKeys(demand, own, others) {
		entry := Entry{Demand: demand[key], Share: own.Share(key, fleetSize)}
		high := HighDemand(entry.Demand, fleetSize)
		totalDemand, sharesOfOthers := entry.Demand+idleDemand*even, 0.0
		for _, other := range others {
			demandOfOther := other[key].Demand
			high = high || HighDemand(demandOfOther, fleetSize)
			totalDemand += demandOfOther + idleDemand*even
			sharesOfOthers += other.Share(key, fleetSize)
		}
		target := even
		if high {
			target = (entry.Demand + idleDemand*even) / totalDemand
		}
		if target > entry.Share { // never more than the others have left
			target = max(entry.Share, min(target, 1-sharesOfOthers))
		}
		_, reported := own[key]
		if !high && math.Abs(target-even) < tolerance {
			urgent = urgent || reported // the end of the division
			continue
		}
		decrease := entry.Share
		entry.Share = max(1, math.Floor(target*resolution+tolerance)) / resolution // rounded down, but not to nothing
		decrease -= entry.Share
		entry.Demand = math.Round(entry.Demand*resolution) / resolution
		next[key] = entry
		urgent = urgent || !reported || decrease > urgentDecrease
	}
	return next, urgent
}

// reportedKeys are the keys of the next report: first those of the last one, so that each of them ends in order, then those
// of the others' reports and those with a high demand here. Where there are too many, all instances choose the same ones.
func reportedKeys(demand map[string]float64, own Report, others []Report) []string {
	keys := slices.Collect(maps.Keys(own))
	candidates := map[string]bool{}
	for _, other := range others {
		for key := range other {
			candidates[key] = true
		}
	}
	for key, d := range demand {
		if HighDemand(d, len(others)+1) {
			candidates[key] = true
		}
	}
	for _, key := range slices.Sorted(maps.Keys(candidates)) {
		if len(keys) >= MaxKeys {
			break
		}
		if _, reported := own[key]; !reported {
			keys = append(keys, key)
		}
	}
	return keys
}

// Differ reports whether two reports differ so much that the newer one should be written.
func Differ(a, b Report) bool {
	if len(a) != len(b) {
		return true
	}
	for key, one := range a {
		two, ok := b[key]
		if !ok || math.Abs(one.Demand-two.Demand) > minDemandChange || math.Abs(one.Share-two.Share) > tolerance {
			return true
		}
	}
	return false
}
