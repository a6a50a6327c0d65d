package store

import (
	"fmt"
	"slices"
	"strings"
)

// A page costs what is on it, however many rows there are, when one index has the rows that fit, one behind the other, in
// the order of the list. SQLite seeks in such an index when each column is compared for itself. PostgreSQL then weighs the
// index against other ways, by what it knows of how common values are, and is wrong where others are common: it walks
// through the table until something fits, or sorts everything that does. It is sure of the one index when all columns
// are compared as a row, and its order is asked for in full.

// walk is a way along an index: the rows that have the values of equal, in the order of seq, or from the time since on in
// the order of at and seq. The index has these columns in this order.
type walk struct {
	equal []equal
	since string // a placeholder
}

// equal is a column and the value that it must have: a placeholder, or a query in parentheses.
type equal struct{ column, value string }

// pagedQuery is a query whose pages list reads, in the form for each engine.
type pagedQuery struct{ sqlite, postgres string }

func (q pagedQuery) forSQLite() string   { return q.sqlite }
func (q pagedQuery) forPostgres() string { return q.postgres }

// pagedQueries are all there are: the test of their plans forgets none.
var pagedQueries []pagedQuery //nolint:gochecknoglobals // filled before main begins

// paged makes a query one of which list reads pages. rows begins with SELECT seq and ends with FROM and a table. A row is
// in the list when one of walks leads to it; all must have the same order. The query takes the row to begin after as $1,
// the number of rows as $2, and the values of filters from $3 on. A row to which several walks lead comes several times,
// one after the other.
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
		// Each walk gives a page at most, and only these are put in order.
		query.postgres = `(` + strings.Join(postgres, `) UNION ALL (`) + `)` + end
	}
	pagedQueries = append(pagedQueries, query)
	return query
}

// columns are the parts of a walk, one after the other, each with a condition for each column.
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

// row is a page of a walk, by conditions for all columns together. Values are hidden in queries: what PostgreSQL knows of
// them shall not count.
func (w walk) row(rows string) string {
	var fixed, values []string
	for _, e := range w.equal {
		if strings.HasPrefix(e.value, `$`) {
			e.value = `(SELECT ` + e.value + `)`
		}
		if w.since != `` {
			// Otherwise the index for the order of seq, which is smaller, is weighed against the one for this order.
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

// begin is the time of the row after which the page begins. Where that row was removed everything older was, too, so that
// the page begins with the oldest there is.
func (w walk) begin() string {
	return `coalesce((SELECT CASE WHEN at >= ` + w.since + ` THEN at END FROM audit WHERE seq = $1), ` + w.since + `)`
}

func tuple(parts []string) string { return `(` + strings.Join(parts, `, `) + `)` }
