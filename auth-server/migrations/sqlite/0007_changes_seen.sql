-- What several processes on one database must know of each other.

-- Counts changes of the token revocation list: who reads the same number twice has missed none.
CREATE TABLE change (
    what   TEXT NOT NULL PRIMARY KEY CHECK (what = 'revocation_list'),
    number INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

INSERT INTO change (what, number) VALUES ('revocation_list', 0);

-- Identifiers of assertions and proofs that were shown and have not expired: half of a SHA-256 each.
CREATE TABLE seen_identifier (
    mark       BLOB NOT NULL PRIMARY KEY CHECK (length(mark) = 16),
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX seen_identifier_by_expiry ON seen_identifier (expires_at);
