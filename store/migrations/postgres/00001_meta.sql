-- +goose Up
-- What the store remembers about itself. schema_major is the major version of the schema: every binary of that major
-- version serves it, whichever additions later migrations made. The environment is written at the first opening.
-- Texts are compared byte by byte, whatever the collation of the database.
CREATE TABLE meta (
    name  TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    value TEXT COLLATE "C" NOT NULL
);

INSERT INTO meta (name, value) VALUES ('schema_major', '1');
