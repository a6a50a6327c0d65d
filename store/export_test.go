package store

import "database/sql"

// OccupyWriters takes every slot for writing resources, until free is called.
func (s *Store) OccupyWriters() (free func()) {
	for range cap(s.writer.slots) {
		s.writer.slots <- struct{}{}
	}
	return func() {
		for range cap(s.writer.slots) {
			<-s.writer.slots
		}
	}
}

// PagedQueries are the queries of all lists for an engine. $1 is the row before the page, $2 the page size; then come the values of
// filters.
func PagedQueries(engine string) []string {
	texts := make([]string, len(pagedQueries))
	for i, query := range pagedQueries {
		texts[i] = map[string]string{"sqlite": query.sqlite, "postgres": query.postgres}[engine]
	}
	return texts
}

// UseDB runs all statements on db from now on.
func (s *Store) UseDB(db *sql.DB) {
	for _, p := range []*pool{s.reader, s.lists, s.keyLookups, s.writer, s.keyWriter, s.fleetWriter} {
		p.db = db
	}
}

// KeysByIDQuery reads the keys whose ids are the members of the JSON object $1.
const KeysByIDQuery = selectKeysByID
