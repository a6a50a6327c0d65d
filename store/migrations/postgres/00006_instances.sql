-- +goose Up
-- The processes that serve from this store: when each was last heard of, in microseconds since 1970, and which version
-- of keys it had seen.
CREATE TABLE instances (
    id      TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    version BIGINT NOT NULL,
    beat_at BIGINT NOT NULL
);
