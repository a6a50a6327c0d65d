package storetest

import (
	"fmt"
	"testing"

	"github.com/latchkey-api/latchkey/fault"
	"github.com/latchkey-api/latchkey/keys"
	"github.com/latchkey-api/latchkey/store"
)

func keyRotated(t *testing.T, s *store.Store) {
	want := addKey(t, s, newKey("E1"))
	next := newKey("E2")
	next.CreatedAt = at(60)
	old, successor, err := s.RotateKey(t.Context(), "E1", newEvent(keys.ActionRotate, "E1"),
		func(r *keys.Record) (keys.Record, error) {
			same(t, "what rotate is given", *r, want)
			r.ExpiresAt, r.Client = at(60), "other"
			return next, nil
		})
	must(t, err)
	want.ExpiresAt, want.RotatedTo, want.Version = at(60), "E2", 2
	next.RotatedFrom, next.Version = "E1", 2
	same(t, "the predecessor", old, want)
	same(t, "the successor", successor, next)
	isKey(t, s, want)
	isKey(t, s, next)
	isVersion(t, s, 2)
	isAudit(t, s, store.AuditFilter{}, newEvent(keys.ActionCreate, "E1"), newEvent(keys.ActionRotate, "E1"))

	// A key is rotated once; then its successor can be.
	_, _, err = s.RotateKey(t.Context(), "E1", newEvent(keys.ActionRotate, "E1"), func(*keys.Record) (keys.Record, error) {
		t.Error("asked for a second successor")
		return newKey("E3"), nil
	})
	isFault(t, "a second rotation", err, fault.Conflict)
	_, err = s.Key(t.Context(), "E3")
	isFault(t, "the second successor", err, fault.NotFound)
	isKey(t, s, want)
	isVersion(t, s, 2)
	if _, _, err := s.RotateKey(t.Context(), "E2", newEvent(keys.ActionRotate, "E2"), successorOf("E3")); err != nil {
		t.Error(err)
	}
	isAudit(t, s, store.AuditFilter{}, newEvent(keys.ActionCreate, "E1"), newEvent(keys.ActionRotate, "E1"),
		newEvent(keys.ActionRotate, "E2"))
}

func keyRotationConflict(t *testing.T, s *store.Store) {
	one, two := addKey(t, s, newKey("E1")), addKey(t, s, newKey("E2"))
	for _, taken := range []string{"E1", "E2"} {
		_, _, err := s.RotateKey(t.Context(), "E1", newEvent(keys.ActionRotate, "E1"), successorOf(taken))
		isFault(t, "a successor with the id "+taken, err, fault.Conflict)
	}
	_, _, err := s.RotateKey(t.Context(), "E1", newEvent(keys.ActionRotate, "E1"), successorOf("\xff"))
	isFault(t, "a successor that cannot be stored", err, fault.Invalid)
	isKey(t, s, one)
	isKey(t, s, two)
	isVersion(t, s, 2)
	isAudit(t, s, store.AuditFilter{}, newEvent(keys.ActionCreate, "E1"), newEvent(keys.ActionCreate, "E2"))
}

func keyRotationRace(t *testing.T, s *store.Store) {
	for round := range 10 {
		id := fmt.Sprint("old", round)
		addKey(t, s, newKey(id))
		const racers = 4
		olds, successors, errs := make([]keys.Record, racers), make([]keys.Record, racers), make([]error, racers)
		together(racers, func(i int) {
			olds[i], successors[i], errs[i] = s.RotateKey(t.Context(), id, newEvent(keys.ActionRotate, id),
				successorOf(fmt.Sprint("new", round, "-", i)))
		})
		first := winner(t, errs)
		isKey(t, s, olds[first])
		isKey(t, s, successors[first])
		if olds[first].RotatedTo != successors[first].ID || successors[first].RotatedFrom != id {
			t.Errorf("%+v and %+v are not tied together", olds[first], successors[first])
		}
		for i := range racers {
			if i != first {
				_, err := s.Key(t.Context(), fmt.Sprint("new", round, "-", i))
				isFault(t, "the successor of who lost", err, fault.NotFound)
			}
		}
		isAudit(t, s, store.AuditFilter{Key: id}, newEvent(keys.ActionCreate, id), newEvent(keys.ActionRotate, id))
		isVersion(t, s, int64(2*(round+1)))
	}
}

func successorOf(id string) func(*keys.Record) (keys.Record, error) {
	return func(*keys.Record) (keys.Record, error) { return newKey(id), nil }
}
