package store

import (
	"fmt"
	"slices"
	"strings"
)

// A page must cost the same however many rows the table has. It does if one index holds the matching rows next to each other,
// in the order of the list. The two engines need different conditions to use that index:
//   - SQLite seeks in it when each column has a condition of its own.
//   - PostgreSQL would then choose by its statistics, and for common values it would scan the table or sort all matches. It
//     always takes the index when all columns are compared as one row, and ORDER BY names all of them.

// walk is a range of an index: the rows with the values of equal, ordered by seq. With since, it begins at that time and is
// ordered by at and seq. The index has these columns in this order.
type walk struct {
	equal []equal
	since string // a placeholder
}

// equal is a column and its value: a placeholder, or a query in parentheses.
type equal struct{ column, value string }

// pagedQuery is the query of a page, in the form for each engine. The function list runs it.
type pagedQuery struct{ sqlite, postgres string }

func (q pagedQuery) forSQLite() string   { return q.sqlite }
func (q pagedQuery) forPostgres() string { return q.postgres }

// pagedQueries are all of them, so that the test of their plans forgets none.
var pagedQueries []pagedQuery //nolint:gochecknoglobals // filled before main begins

// paged returns the query of a list's pages. rows begins with SELECT seq and ends with FROM and a table. The list is the union of
// the walks, which must have the same order; a row of several walks comes once for each, one after the other. $1 is the row
// before the page, $2 the page size, and the values of filters begin at $3.
func paged(rows string, walks ...walk) pagedQuery {
	order, limit := `seq`, `$2`
	if walks[0].since != `` {
		order = `at, seq`
	}
	if len(walks) > 1 {
		limit = fmt.Sprint(len(walks), ` * $2`)
	}
	var sqlite, postgres []string
	for _, w := range walks {
		sqlite = append(sqlite, w.columns(rows)...)
		postgres = append(postgres, w.row(rows))
	}
	end := ` ORDER BY ` + order + ` LIMIT ` + limit
	query := pagedQuery{sqlite: strings.Join(sqlite, ` UNION ALL `) + end, postgres: postgres[0]}
	if len(walks) > 1 {
		// Each walk reads a page at most; only these are sorted.
		query.postgres = `(` + strings.Join(postgres, `) UNION ALL (`) + `)` + end
	}
	pagedQueries = append(pagedQueries, query)
	return query
}

// columns is a walk for SQLite, in one or two parts: each column has a condition of its own.
func (w walk) columns(rows string) []string {
	var fixed strings.Builder
	for _, e := range w.equal {
		fixed.WriteString(e.column + ` = ` + e.value + ` AND `)
	}
	rows += ` WHERE ` + fixed.String()
	if w.since == `` {
		return []string{rows + `seq > $1`}
	}
	return []string{rows + `at = ` + w.begin() + ` AND seq > $1`, rows + `at > ` + w.begin()}
}

// row is a walk for PostgreSQL: all columns are compared as one row. Subqueries hide the values from the planner, so that it
// ignores its statistics about them.
func (w walk) row(rows string) string {
	var fixed, values []string
	for _, e := range w.equal {
		if strings.HasPrefix(e.value, `$`) {
			e.value = `(SELECT ` + e.value + `)`
		}
		if w.since != `` {
			// An expression, because otherwise the planner considers the smaller index, which is for the order of seq.
			e.column = `(` + e.column + ` || '')`
		}
		fixed, values = append(fixed, e.column), append(values, e.value)
	}
	order, place := []string{`seq`}, []string{`$1`}
	if w.since != `` {
		order, place = []string{`at`, `seq`}, []string{w.begin(), `$1`}
	}
	columns, after := slices.Concat(fixed, order), slices.Concat(values, place)
	where := tuple(columns) + ` > ` + tuple(after)
	if len(fixed) > 0 {
		where += ` AND ` + tuple(fixed) + ` <= ` + tuple(values)
	}
	return rows + ` WHERE ` + where + ` ORDER BY ` + strings.Join(columns, `, `) + ` LIMIT $2`
}

// begin is the time of the row before the page. If that row was removed, so was everything older, and the page begins with the
// oldest row.
func (w walk) begin() string {
	return `coalesce((SELECT CASE WHEN at >= ` + w.since + ` THEN at END FROM audit WHERE seq = $1), ` + w.since + `)`
}

func tuple(parts []string) string { return `(` + strings.Join(parts, `, `) + `)` }
