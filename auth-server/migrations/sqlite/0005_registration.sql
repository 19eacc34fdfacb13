-- Clients that register themselves (RFC 7591, RFC 7592): who lets them, and how they manage what they registered.
-- Of a client with the method key, auth_data may since be {"raw_public_key": JWK}: a key that it shows in the TLS handshake (RFC 7250).

CREATE TABLE initial_access_token (
    -- Its name for people, the beginning of its digest in hexadecimal digits.
    id         TEXT NOT NULL PRIMARY KEY,
    -- SHA-256 of the token.
    sha256     BLOB NOT NULL UNIQUE CHECK (length(sha256) = 32),
    -- What whoever registers with it is called and may do, in JSON.
    admission  TEXT NOT NULL,
    -- The name of the one client that may register with it, if it is for one.
    client_id  TEXT,
    uses_left  INTEGER NOT NULL CHECK (uses_left >= 0),
    -- Seconds since 1970.
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX initial_access_token_by_client ON initial_access_token (client_id) WHERE client_id IS NOT NULL;
CREATE INDEX initial_access_token_by_expiry ON initial_access_token (expires_at);

CREATE TABLE registration (
    client_id      TEXT NOT NULL PRIMARY KEY REFERENCES client (client_id) ON DELETE CASCADE,
    -- SHA-256 of the registration access token.
    sha256         BLOB NOT NULL CHECK (length(sha256) = 32),
    -- What the client says of itself, in JSON (RFC 7591 section 2); no secret.
    metadata       TEXT NOT NULL,
    -- Whether it may have refresh tokens if it asks for them.
    refresh_tokens INTEGER NOT NULL CHECK (refresh_tokens IN (0, 1)),
    -- Seconds since 1970.
    registered_at  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

PRAGMA user_version = 5;
