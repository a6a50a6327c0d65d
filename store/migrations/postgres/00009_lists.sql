-- +goose Up
-- The rows since a time, and those that are too old; and the rows of one key since a time.
DROP INDEX IF EXISTS audit_by_time;
CREATE INDEX audit_by_time ON audit (at, seq);
CREATE INDEX audit_of_target_by_time ON audit (target, at, seq);
CREATE INDEX audit_of_actor_by_time ON audit (actor, at, seq);
