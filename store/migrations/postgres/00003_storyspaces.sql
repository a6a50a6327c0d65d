-- +goose Up
CREATE TABLE storyspaces (
    seq        BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id         TEXT COLLATE "C" NOT NULL UNIQUE,
    account_id TEXT COLLATE "C" NOT NULL REFERENCES accounts (id),
    name       TEXT COLLATE "C" NOT NULL
);

-- The pages of one account, oldest first.
CREATE INDEX storyspaces_of_account ON storyspaces (account_id, seq);

-- Whoever reads on from a page has to find every row that comes later behind it. A number that is drawn before another
-- can become visible after it, so the rows of one account are numbered under a lock on the account, which is held until
-- they are visible. The number that the column drew for itself before is left out.
-- +goose StatementBegin
CREATE FUNCTION storyspaces_number() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM accounts WHERE id = NEW.account_id FOR NO KEY UPDATE;
    NEW.seq := nextval(pg_get_serial_sequence('storyspaces', 'seq'));
    RETURN NEW;
END
$$;
-- +goose StatementEnd

CREATE TRIGGER storyspaces_in_order BEFORE INSERT ON storyspaces
    FOR EACH ROW EXECUTE FUNCTION storyspaces_number();
