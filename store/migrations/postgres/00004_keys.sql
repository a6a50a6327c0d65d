-- +goose Up
-- The registered keys. Times are microseconds since 1970 in UTC, 0 for never; a text that is not set is ''. Material
-- is what verifies: a public key or a sealed secret, never a secret in clear.
CREATE TABLE keys (
    seq          BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id           TEXT COLLATE "C" NOT NULL UNIQUE CHECK (id <> ''),
    client       TEXT COLLATE "C" NOT NULL,
    kind         TEXT COLLATE "C" NOT NULL,
    environment  TEXT COLLATE "C" NOT NULL,
    scopes       TEXT COLLATE "C" NOT NULL,
    rate         DOUBLE PRECISION NOT NULL,
    burst        BIGINT NOT NULL,
    state        TEXT COLLATE "C" NOT NULL,
    hint         TEXT COLLATE "C" NOT NULL,
    material     BYTEA NOT NULL,
    rotated_to   TEXT COLLATE "C" NOT NULL,
    rotated_from TEXT COLLATE "C" NOT NULL,
    created_at   BIGINT NOT NULL,
    expires_at   BIGINT NOT NULL,
    last_used_at BIGINT NOT NULL,
    version      BIGINT NOT NULL
);

-- What changed since a version.
CREATE INDEX keys_by_version ON keys (version);

-- The pages of one client, of one state, and of both, oldest first.
CREATE INDEX keys_of_client ON keys (client, seq);
CREATE INDEX keys_in_state ON keys (state, seq);
CREATE INDEX keys_of_client_in_state ON keys (client, state, seq);

-- A key has one successor at most, whoever rotates at the same time.
CREATE UNIQUE INDEX keys_rotated_once ON keys (rotated_from) WHERE rotated_from <> '';

-- One row: the version of the newest change of any key. It is updated in the transaction of the change and stays locked
-- to its end, so versions become visible in their order, and so do the keys; the numbers of a sequence would not.
CREATE TABLE key_version (
    only_row INTEGER NOT NULL PRIMARY KEY CHECK (only_row = 1),
    value    BIGINT NOT NULL
);

INSERT INTO key_version (only_row, value) VALUES (1, 0);
