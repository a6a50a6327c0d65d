package store

import (
	"context"
	"crypto/rand"
	"testing"
)

// A point read as the store does it, and the same statement with a context that can be cancelled.
func BenchmarkPointRead(b *testing.B) {
	s := openTemp(b)
	if err := s.InsertDemo(b.Context()); err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	b.Run("store", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := s.AccountByUsername(ctx, "stevenm"); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("cancellable", func(b *testing.B) {
		stmt, err := s.reader.prepared(b.Context(), selectAccountByUsername)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportAllocs()
		for b.Loop() {
			var a Account
			err := stmt.QueryRowContext(ctx, "stevenm").
				Scan(&a.ID, &a.Username, &a.Email, &a.FirstName, &a.LastName, &a.AvatarURL)
			if err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("parallel", func(b *testing.B) {
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if _, err := s.AccountByUsername(ctx, "stevenm"); err != nil {
					b.Fatal(err)
				}
			}
		})
	})
}

// A write ends when it is durable, so this also measures the disk.
func BenchmarkWrite(b *testing.B) {
	s := openTemp(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.CreateAccount(b.Context(), Account{Username: rand.Text()}); err != nil {
			b.Fatal(err)
		}
	}
}
