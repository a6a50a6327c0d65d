package store

import "database/sql"

// OccupyWriters takes every place for writing resources, until the function that it gives is called.
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

// PagedQueries are all queries of lists, in the form for an engine. They take the row to begin after as $1, a number of rows
// as $2, and then the values of filters.
func PagedQueries(engine string) []string {
	texts := make([]string, len(pagedQueries))
	for i, query := range pagedQueries {
		texts[i] = map[string]string{"sqlite": query.sqlite, "postgres": query.postgres}[engine]
	}
	return texts
}

// UseDB makes everything that is asked from now on be asked through db.
func (s *Store) UseDB(db *sql.DB) {
	for _, p := range []*pool{s.reader, s.lists, s.keyLookups, s.writer, s.keyWriter, s.fleetWriter} {
		p.db = db
	}
}

// KeysByIDQuery reads the keys whose ids are the members of the JSON object $1.
const KeysByIDQuery = selectKeysByID
