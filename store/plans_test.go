package store_test

import (
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/latchkey-api/latchkey/store"
)

// common is the value of nearly every row in the columns of filters, and a time before all others. rare is the value of no row, and
// a time after all others.
const (
	common = "7"
	rare   = "9000000000000000"
)

// manyRows are enough for PostgreSQL to choose the same plans as for millions.
const manyRows = `
	INSERT INTO accounts (id, username, email, first_name, last_name, avatar_url)
		SELECT CAST(i AS TEXT), CAST(i AS TEXT), '', '', '', '' FROM n;
	INSERT INTO storyspaces (id, account_id, name) SELECT CAST(i AS TEXT), '7', '' FROM n;
	INSERT INTO audit (at, actor, request_id, address, action, target, count)
		SELECT 1700000000000000 + i, CASE WHEN i % 10 = 0 THEN CAST(i AS TEXT) ELSE '7' END, '', '', 'refused', '7', 1 FROM n;
	INSERT INTO keys (id, client, kind, environment, scopes, rate, burst, state, hint, material, rotated_to, rotated_from,
			created_at, expires_at, last_used_at, version)
		SELECT CAST(i AS TEXT), '7', 'hs256', 'test', '', 0, 0, '7', '', '', '', '', 1, 0, 0, i FROM n`

// A plan that scans or sorts gets slower with every row that others add. This checks the plan of every list.
func TestListPlansNeitherScanNorSort(t *testing.T) {
	onEachEngine(t, func(t *testing.T, newPlace func(*testing.T) place) {
		p := newPlace(t)
		p.open(t)
		db := p.raw(t)
		plans, numbers, rows := sqlitePlans, "WITH RECURSIVE i(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM i WHERE i < %d) SELECT i FROM i", 100
		forbidden := []string{"SCAN", "TEMP B-TREE"}
		if p.engine == "postgres" {
			plans, numbers, rows = postgresPlans, "SELECT generate_series(1, %d) AS i", 50_000
			forbidden = []string{"Seq Scan", "Sort", "Bitmap", "Filter:"}
		}
		do(t, db, fmt.Sprintf("CREATE TABLE n AS "+numbers, rows))
		do(t, db, manyRows)
		do(t, db, "ANALYZE")
		queries := store.PagedQueries(p.engine)
		if len(queries) < 9 {
			t.Fatalf("%d lists", len(queries))
		}
		for _, query := range queries {
			for _, plan := range plans(t, db, query) {
				checked := plan
				if page, parts, several := strings.Cut(plan, "Append"); several && strings.Count(page, "Sort  (") == 1 {
					checked = parts // sorting a few pages is fine
				}
				for _, bad := range forbidden {
					if strings.Contains(checked, bad) {
						t.Errorf("%q in the plan of\n%s\n%s", bad, query, plan)
					}
				}
			}
		}
	})
}

// Requests that are not authenticated may have made-up ids, hundreds at a time: each must cost only an index lookup.
func TestKeysByIDUsesTheIndex(t *testing.T) {
	onEachEngine(t, func(t *testing.T, newPlace func(*testing.T) place) {
		p := newPlace(t)
		p.open(t)
		db := p.raw(t)
		const ids = `{"1":0,"2":0}`
		numbers := "WITH RECURSIVE i(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM i WHERE i < 50000) SELECT i FROM i"
		index, scan := "SEARCH keys USING INDEX", "SCAN keys"
		plans := func() []string { return []string{planOf(t, db, "EXPLAIN QUERY PLAN "+store.KeysByIDQuery, ids)} }
		if p.engine == "postgres" {
			numbers = "SELECT generate_series(1, 50000) AS i"
			index, scan = "Index Scan using keys_id_key", "Seq Scan"
			plans = func() (all []string) {
				do(t, db, "PREPARE ids AS "+store.KeysByIDQuery)
				for _, mode := range []string{"force_custom_plan", "force_generic_plan"} {
					do(t, db, "SET plan_cache_mode = "+mode)
					all = append(all, planOf(t, db, "EXPLAIN EXECUTE ids ('"+ids+"')"))
				}
				return all
			}
		}
		do(t, db, "CREATE TABLE n AS "+numbers)
		do(t, db, manyRows)
		do(t, db, "ANALYZE")
		for _, plan := range plans() {
			if !strings.Contains(plan, index) || strings.Contains(plan, scan) {
				t.Error(plan)
			}
		}
	})
}

func sqlitePlans(t *testing.T, db *sql.DB, query string) []string {
	t.Helper()
	var args []any
	for i := 1; strings.Contains(query, fmt.Sprint("$", i)); i++ {
		args = append(args, common)
	}
	return []string{planOf(t, db, "EXPLAIN QUERY PLAN "+query, args...)}
}

// postgresPlans are the plans for common and rare values, and the generic plan.
func postgresPlans(t *testing.T, db *sql.DB, query string) []string {
	t.Helper()
	var plans []string
	for _, values := range [][]string{{common, common}, {common, rare}, {rare, common}, {rare, rare}} {
		args := []string{"25000", "51"}
		for i := 3; strings.Contains(query, fmt.Sprint("$", i)); i++ {
			args = append(args, "'"+values[i-3]+"'")
		}
		for _, mode := range []string{"force_custom_plan", "force_generic_plan"} {
			do(t, db, "SET plan_cache_mode = "+mode)
			do(t, db, "PREPARE page AS "+query)
			plans = append(plans, planOf(t, db, "EXPLAIN EXECUTE page ("+strings.Join(args, ", ")+")"))
			do(t, db, "DEALLOCATE page")
		}
	}
	return slices.Compact(plans)
}

// planOf is the last column of EXPLAIN's result.
func planOf(t *testing.T, db *sql.DB, explain string, args ...any) string {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), explain, args...)
	if err != nil {
		t.Fatal(explain, err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	var plan strings.Builder
	for rows.Next() {
		var step string
		into := make([]any, len(columns))
		for i := range into {
			into[i] = new(any)
		}
		into[len(into)-1] = &step
		if err := rows.Scan(into...); err != nil {
			t.Fatal(err)
		}
		plan.WriteString(step + "\n")
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return plan.String()
}

func do(t *testing.T, db *sql.DB, statements string) {
	t.Helper()
	if _, err := db.ExecContext(t.Context(), statements); err != nil {
		t.Fatal(statements, err)
	}
}
