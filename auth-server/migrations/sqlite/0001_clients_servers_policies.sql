-- Clients, resource servers, and what the one may do at the other.
-- STRICT keeps the column types honest; secrets are digests, never secrets.

CREATE TABLE client (
    client_id     TEXT NOT NULL PRIMARY KEY,
    -- SHA-256 of the secret (client_secret_basic), or
    secret_sha256 BLOB CHECK (length(secret_sha256) = 32),
    -- the public JWK (private_key_jwt): one of the two.
    public_key    TEXT,
    pop_algorithm TEXT NOT NULL CHECK (pop_algorithm IN ('HS256', 'EdDSA', 'ES256')),
    CHECK ((secret_sha256 IS NULL) <> (public_key IS NULL))
) STRICT, WITHOUT ROWID;

CREATE TABLE resource_server (
    audience        TEXT NOT NULL PRIMARY KEY,
    content_key_kid TEXT NOT NULL,
    content_key     BLOB NOT NULL CHECK (length(content_key) = 32),
    rs_cnf          TEXT
) STRICT, WITHOUT ROWID;

CREATE TABLE policy (
    -- AUTOINCREMENT: an identifier that was removed never names another policy.
    id                  INTEGER PRIMARY KEY AUTOINCREMENT,
    client_id           TEXT NOT NULL REFERENCES client (client_id) ON DELETE CASCADE,
    audience            TEXT NOT NULL REFERENCES resource_server (audience),
    filter              TEXT NOT NULL,
    publish             INTEGER NOT NULL CHECK (publish IN (0, 1)),
    subscribe           INTEGER NOT NULL CHECK (subscribe IN (0, 1)),
    token_lifetime_secs INTEGER CHECK (token_lifetime_secs > 0),
    CHECK (publish + subscribe > 0),
    UNIQUE (client_id, audience, filter, publish, subscribe)
) STRICT;

CREATE INDEX policy_by_audience ON policy (audience);

PRAGMA application_id = 1398361410;
PRAGMA user_version = 1;
