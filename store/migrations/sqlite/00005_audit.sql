-- +goose Up
-- What was done with keys, by whom. Times are microseconds since 1970 in UTC. Rows outlive the keys they tell of.
CREATE TABLE audit (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,
    at         BIGINT NOT NULL,
    actor      TEXT NOT NULL,
    request_id TEXT NOT NULL,
    address    TEXT NOT NULL,
    action     TEXT NOT NULL,
    target     TEXT NOT NULL,
    count      BIGINT NOT NULL
);

-- The rows since a time, and those that are too old.
CREATE INDEX audit_by_time ON audit (at);

-- The rows of one key, oldest first.
CREATE INDEX audit_by_target ON audit (target, seq);
CREATE INDEX audit_by_actor ON audit (actor, seq);

-- A row is only ever added, and removed when it is too old.
-- +goose StatementBegin
CREATE TRIGGER audit_is_not_rewritten BEFORE UPDATE ON audit
BEGIN
    SELECT RAISE(ABORT, 'a row of the audit is never changed');
END;
-- +goose StatementEnd
