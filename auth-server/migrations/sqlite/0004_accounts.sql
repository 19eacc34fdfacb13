-- Who administers: administrators, auditors and resource owners, and their sessions.

CREATE TABLE account (
    name        TEXT NOT NULL PRIMARY KEY,
    role        TEXT NOT NULL CHECK (role IN ('administrator', 'auditor', 'owner')),
    -- Of the role owner: which.
    owner       TEXT REFERENCES owner (name) ON DELETE CASCADE,
    -- argon2id in PHC form.
    password    TEXT,
    -- SHA-256 of the certificate in DER.
    certificate BLOB CHECK (length(certificate) = 32),
    -- Seconds since 1970.
    created_at  INTEGER NOT NULL,
    CHECK ((role = 'owner') = (owner IS NOT NULL))
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX account_by_certificate ON account (certificate) WHERE certificate IS NOT NULL;
CREATE INDEX account_by_owner ON account (owner) WHERE owner IS NOT NULL;

CREATE TABLE account_session (
    -- SHA-256 of the token.
    sha256     BLOB NOT NULL PRIMARY KEY CHECK (length(sha256) = 32),
    account    TEXT NOT NULL REFERENCES account (name) ON DELETE CASCADE,
    -- Seconds since 1970.
    used_at    INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX account_session_by_account ON account_session (account);
CREATE INDEX account_session_by_expiry ON account_session (expires_at);

PRAGMA user_version = 4;
