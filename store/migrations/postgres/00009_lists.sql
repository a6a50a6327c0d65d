-- +goose Up
-- The rows since a time, and those that are too old; and the rows of one key since a time. While these are made nobody can
-- write to the audit, and so nobody can change a key. On a long one they can be made before, CONCURRENTLY: see the README.
-- The expressions keep the planner from taking audit_by_target or audit_by_actor instead, and sorting.
CREATE INDEX IF NOT EXISTS audit_since ON audit (at, seq);
CREATE INDEX IF NOT EXISTS audit_of_target_since ON audit ((target || ''), at, seq);
CREATE INDEX IF NOT EXISTS audit_of_actor_since ON audit ((actor || ''), at, seq);
-- Last, because from here to the end nobody can read the audit either.
DROP INDEX IF EXISTS audit_by_time;
