-- +goose Up
-- What an instance must know of keys to serve this one. A field that restricts what a key may do raises it, so that no
-- older instance serves the key without the restriction. Nothing lowers it.
ALTER TABLE keys ADD COLUMN level BIGINT NOT NULL DEFAULT 1;

-- The keys that need the master key, newest first.
CREATE INDEX keys_sealed ON keys (seq) WHERE kind = 'hs256' AND state <> 'revoked';
