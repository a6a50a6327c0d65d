-- +goose Up
-- seq is the order of creation; nothing outside the store sees it. An optional column that is not set is ''.
CREATE TABLE accounts (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,
    id         TEXT NOT NULL UNIQUE,
    username   TEXT NOT NULL UNIQUE,
    email      TEXT NOT NULL,
    first_name TEXT NOT NULL,
    last_name  TEXT NOT NULL,
    avatar_url TEXT NOT NULL
);
