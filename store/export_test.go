package store

// OccupyWriters takes every place for writing resources, until the function that it gives is called.
func (s *Store) OccupyWriters() (free func()) {
	for range cap(s.writer.places) {
		s.writer.places <- struct{}{}
	}
	return func() {
		for range cap(s.writer.places) {
			<-s.writer.places
		}
	}
}
