-- +goose Up
-- One clock for all who use the store, whatever their own says: microseconds since 1970. And when the server began that
-- answers; there is none here.
CREATE VIEW store_clock AS SELECT CAST(unixepoch('now', 'subsec') * 1000000 AS INTEGER) AS micros, 0 AS began;

-- When, on the store's clock, the change was made that gave the key its version; 0 for one that nobody timed.
ALTER TABLE keys ADD COLUMN changed_at BIGINT NOT NULL DEFAULT 0;

-- How the limits of keys are divided, as far as it is not evenly: JSON, written by the instance itself. From here on
-- beat_at is on the store's clock.
ALTER TABLE instances ADD COLUMN shares TEXT NOT NULL DEFAULT '';

-- One row: it moves on when instances have to look at each other anew, and it is locked by who takes more of a limit.
CREATE TABLE fleet (
    only_row INTEGER NOT NULL PRIMARY KEY CHECK (only_row = 1),
    turn     BIGINT NOT NULL
);

INSERT INTO fleet (only_row, turn) VALUES (1, 0);
