-- +goose Up
-- What the store remembers about itself. schema_major is the major version of the schema: every binary of that major
-- version serves it, whichever additions later migrations made. The environment is written at the first opening.
CREATE TABLE meta (
    name  TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
);

INSERT INTO meta (name, value) VALUES ('schema_major', '1');
