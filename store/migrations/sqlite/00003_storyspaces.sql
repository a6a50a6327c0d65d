-- +goose Up
CREATE TABLE storyspaces (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,
    id         TEXT NOT NULL UNIQUE,
    account_id TEXT NOT NULL REFERENCES accounts (id),
    name       TEXT NOT NULL
);

-- The pages of one account, oldest first.
CREATE INDEX storyspaces_of_account ON storyspaces (account_id, seq);
