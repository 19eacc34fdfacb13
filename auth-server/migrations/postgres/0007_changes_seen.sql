-- What several processes on one database must know of each other. Names and meanings are told where SQLite's are.

CREATE TABLE change (
    what   TEXT COLLATE "C" NOT NULL PRIMARY KEY CHECK (what = 'revocation_list'),
    number BIGINT NOT NULL
);

INSERT INTO change (what, number) VALUES ('revocation_list', 0);

CREATE TABLE seen_identifier (
    mark       BYTEA NOT NULL PRIMARY KEY CHECK (length(mark) = 16),
    expires_at BIGINT NOT NULL
);

CREATE INDEX seen_identifier_by_expiry ON seen_identifier (expires_at);
