-- +goose Up
-- One clock for all who use the store, whatever their own says: microseconds since 1970. And when the server began that
-- answers: another one, in its place, may not have every change.
CREATE VIEW store_clock AS SELECT
    CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT) AS micros,
    CAST(extract(epoch FROM pg_postmaster_start_time()) * 1000000 AS BIGINT) AS began;

-- When, on the store's clock, the change was made that gave the key its version; 0 for one that nobody timed.
ALTER TABLE keys ADD COLUMN changed_at BIGINT NOT NULL DEFAULT 0;

-- How the limits of keys are divided, as far as it is not evenly: JSON, written by the instance itself. From here on
-- beat_at is on the store's clock.
ALTER TABLE instances ADD COLUMN shares TEXT COLLATE "C" NOT NULL DEFAULT '';

-- One row: it moves on when instances have to look at each other anew, and it is locked by who takes more of a limit.
CREATE TABLE fleet (
    only_row INTEGER NOT NULL PRIMARY KEY CHECK (only_row = 1),
    turn     BIGINT NOT NULL
);

INSERT INTO fleet (only_row, turn) VALUES (1, 0);

-- Instances listen, so that they need not wait for their next poll. What is told is only that there is news.
-- +goose StatementBegin
CREATE FUNCTION tell_instances() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('latchkey', '');
    RETURN NULL;
END
$$;
-- +goose StatementEnd

CREATE TRIGGER key_version_told AFTER UPDATE ON key_version
    FOR EACH ROW EXECUTE FUNCTION tell_instances();
CREATE TRIGGER fleet_told AFTER UPDATE ON fleet
    FOR EACH ROW WHEN (OLD.turn <> NEW.turn) EXECUTE FUNCTION tell_instances();
