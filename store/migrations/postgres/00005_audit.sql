-- +goose Up
-- What was done with keys, by whom. Times are microseconds since 1970 in UTC. Rows outlive the keys they tell of.
CREATE TABLE audit (
    seq        BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at         BIGINT NOT NULL,
    actor      TEXT COLLATE "C" NOT NULL,
    request_id TEXT COLLATE "C" NOT NULL,
    address    TEXT COLLATE "C" NOT NULL,
    action     TEXT COLLATE "C" NOT NULL,
    target     TEXT COLLATE "C" NOT NULL,
    count      BIGINT NOT NULL
);

-- The rows since a time, and those that are too old.
CREATE INDEX audit_by_time ON audit (at);

-- The rows of one key, oldest first.
CREATE INDEX audit_by_target ON audit (target, seq);
CREATE INDEX audit_by_actor ON audit (actor, seq);

-- A row is only ever added, and removed when it is too old.
-- +goose StatementBegin
CREATE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a row of the audit is never changed';
END
$$;
-- +goose StatementEnd

CREATE TRIGGER audit_is_not_rewritten BEFORE UPDATE ON audit
    FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse();

-- Whoever reads on from a page has to find every row that comes later behind it, so rows are numbered under a lock that
-- is held until they are visible. It is the one that a change of keys holds already. A trigger for the statement runs
-- before the first number is drawn.
-- +goose StatementBegin
CREATE FUNCTION audit_wait() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM key_version FOR NO KEY UPDATE;
    RETURN NULL;
END
$$;
-- +goose StatementEnd

CREATE TRIGGER audit_in_order BEFORE INSERT ON audit
    FOR EACH STATEMENT EXECUTE FUNCTION audit_wait();
