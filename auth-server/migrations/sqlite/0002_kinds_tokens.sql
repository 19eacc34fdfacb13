-- Kinds of tokens for each resource server, further ways to authenticate, and the tokens that were issued.
-- SQLite cannot change a CHECK: client and resource_server are made anew, and policy, which refers to them, with them.

CREATE TABLE new_client (
    client_id      TEXT NOT NULL PRIMARY KEY,
    auth_method    TEXT NOT NULL CHECK (auth_method IN ('secret', 'key', 'certificate', 'certificate_name')),
    -- SHA-256 of a secret or of a certificate, 32 bytes; or UTF-8: the public JWK, or the name in a certificate.
    auth_data      BLOB NOT NULL,
    pop_algorithm  TEXT NOT NULL CHECK (pop_algorithm IN ('HS256', 'EdDSA', 'ES256')),
    refresh_tokens INTEGER NOT NULL DEFAULT 0 CHECK (refresh_tokens IN (0, 1)),
    CHECK (auth_method NOT IN ('secret', 'certificate') OR length(auth_data) = 32)
) STRICT, WITHOUT ROWID;

INSERT INTO new_client (client_id, auth_method, auth_data, pop_algorithm)
SELECT client_id,
       CASE WHEN secret_sha256 IS NULL THEN 'key' ELSE 'secret' END,
       coalesce(secret_sha256, CAST(public_key AS BLOB)),
       pop_algorithm
FROM client;

CREATE TABLE new_resource_server (
    audience        TEXT NOT NULL PRIMARY KEY,
    token_format    TEXT NOT NULL DEFAULT 'jwt' CHECK (token_format IN ('jwt', 'cwt', 'reference')),
    protection      TEXT NOT NULL DEFAULT 'sign' CHECK (protection IN ('sign', 'mac')),
    symmetric_keys  TEXT NOT NULL DEFAULT 'encrypted' CHECK (symmetric_keys IN ('encrypted', 'derived')),
    lifetime        TEXT NOT NULL DEFAULT 'exp' CHECK (lifetime IN ('exp', 'exi')),
    -- Keys shared with it, each for one algorithm: around symmetric proof-of-possession keys,
    content_key_kid TEXT,
    content_key     BLOB CHECK (length(content_key) = 32),
    -- for the MACs of tokens,
    mac_key_kid     TEXT,
    mac_key         BLOB CHECK (length(mac_key) = 32),
    -- and to derive symmetric proof-of-possession keys from.
    derivation_key  BLOB CHECK (length(derivation_key) = 32),
    rs_cnf          TEXT,
    -- The highest sequence number of a token with exi; none is used twice.
    last_sequence   INTEGER NOT NULL DEFAULT 0,
    -- How it authenticates where it asks: all three or none. No client has the same identifier.
    client_id       TEXT UNIQUE,
    auth_method     TEXT CHECK (auth_method IN ('secret', 'key', 'certificate', 'certificate_name')),
    auth_data       BLOB,
    CHECK ((content_key_kid IS NULL) = (content_key IS NULL)),
    CHECK ((mac_key_kid IS NULL) = (mac_key IS NULL)),
    CHECK ((client_id IS NULL) = (auth_method IS NULL) AND (client_id IS NULL) = (auth_data IS NULL))
) STRICT, WITHOUT ROWID;

INSERT INTO new_resource_server (audience, content_key_kid, content_key, rs_cnf)
SELECT audience, content_key_kid, content_key, rs_cnf FROM resource_server;

CREATE TABLE old_policy AS SELECT * FROM policy;
CREATE TABLE old_sequence AS SELECT seq FROM sqlite_sequence WHERE name = 'policy';
DROP TABLE policy;
DROP TABLE client;
DROP TABLE resource_server;
ALTER TABLE new_client RENAME TO client;
ALTER TABLE new_resource_server RENAME TO resource_server;

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

INSERT INTO policy (id, client_id, audience, filter, publish, subscribe, token_lifetime_secs)
SELECT id, client_id, audience, filter, publish, subscribe, token_lifetime_secs FROM old_policy;
DELETE FROM sqlite_sequence WHERE name = 'policy';
INSERT INTO sqlite_sequence (name, seq) SELECT 'policy', seq FROM old_sequence;
DROP TABLE old_policy;
DROP TABLE old_sequence;

-- An audience that stands for several resource servers (RFC 9200 section 6.9).
CREATE TABLE audience_group (
    name     TEXT NOT NULL,
    audience TEXT NOT NULL REFERENCES resource_server (audience) ON DELETE CASCADE,
    PRIMARY KEY (name, audience)
) STRICT, WITHOUT ROWID;

CREATE INDEX audience_group_by_audience ON audience_group (audience);

-- Tokens that were issued and have not expired. A token outlives its client and its resource server.
CREATE TABLE token (
    -- SHA-256 of the token as it reaches the resource server; of a CWT, with tag 61.
    sha256        BLOB NOT NULL PRIMARY KEY CHECK (length(sha256) = 32),
    -- Its name on the token revocation list (RFC 9770).
    listed_as     BLOB NOT NULL CHECK (length(listed_as) = 33),
    -- jti, or base64url of cti.
    identifier    TEXT NOT NULL UNIQUE,
    client_id     TEXT NOT NULL,
    -- The resource server, or the group.
    audience      TEXT NOT NULL,
    -- The name of the proof-of-possession key, if it has one.
    pop_kid       BLOB,
    -- What is answered about it, in JSON (RFC 7662). No key in it is readable.
    answer        TEXT NOT NULL,
    -- The refresh token's family, if it comes from one.
    family        BLOB,
    expires_at    INTEGER NOT NULL,
    -- Revoked, and since when.
    revoked_at    INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX token_by_client ON token (client_id, expires_at);
CREATE INDEX token_by_key ON token (client_id, pop_kid) WHERE pop_kid IS NOT NULL;
CREATE INDEX token_by_expiry ON token (expires_at);
CREATE INDEX token_revoked ON token (audience) WHERE revoked_at IS NOT NULL;
CREATE INDEX token_by_family ON token (family) WHERE family IS NOT NULL;

CREATE TABLE refresh_token (
    sha256       BLOB NOT NULL PRIMARY KEY CHECK (length(sha256) = 32),
    family       BLOB NOT NULL CHECK (length(family) = 16),
    client_id    TEXT NOT NULL REFERENCES client (client_id) ON DELETE CASCADE,
    audience     TEXT NOT NULL,
    -- What was granted at first, an AIF array in JSON.
    scope        TEXT NOT NULL,
    -- cnf of the tokens, in JSON; no key in it is readable.
    confirmation TEXT NOT NULL,
    expires_at   INTEGER NOT NULL,
    -- It was exchanged: whoever shows it again has stolen it, or was stolen from.
    used         INTEGER NOT NULL DEFAULT 0 CHECK (used IN (0, 1))
) STRICT, WITHOUT ROWID;

CREATE INDEX refresh_token_by_client ON refresh_token (client_id);
CREATE INDEX refresh_token_by_family ON refresh_token (family);
CREATE INDEX refresh_token_by_expiry ON refresh_token (expires_at);

-- The last updates to the token revocation list, for each who may ask (RFC 9770): c and a client identifier, or r and an audience.
CREATE TABLE revocation_update (
    requester     TEXT NOT NULL,
    number        INTEGER NOT NULL,
    listed_as     BLOB NOT NULL CHECK (length(listed_as) = 33),
    -- Added to the list, or removed from it because the token expired.
    added         INTEGER NOT NULL CHECK (added IN (0, 1)),
    PRIMARY KEY (requester, number)
) STRICT, WITHOUT ROWID;

PRAGMA user_version = 2;
