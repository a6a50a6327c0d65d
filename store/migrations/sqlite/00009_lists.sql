-- +goose Up
-- The rows of one key since a time. Those of all keys since a time have audit_by_time, which SQLite keeps in the order of
-- seq as well.
CREATE INDEX audit_of_target_by_time ON audit (target, at, seq);
CREATE INDEX audit_of_actor_by_time ON audit (actor, at, seq);
