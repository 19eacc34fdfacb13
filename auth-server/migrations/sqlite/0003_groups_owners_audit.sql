-- Groups of clients, resource owners, rules that deny or hold for a time only; the audit log.

CREATE TABLE client_group (
    name TEXT NOT NULL PRIMARY KEY
) STRICT, WITHOUT ROWID;

CREATE TABLE client_group_member (
    group_name TEXT NOT NULL REFERENCES client_group (name) ON DELETE CASCADE,
    client_id  TEXT NOT NULL REFERENCES client (client_id) ON DELETE CASCADE,
    PRIMARY KEY (group_name, client_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX client_group_member_by_client ON client_group_member (client_id);

CREATE TABLE owner (
    name TEXT NOT NULL PRIMARY KEY
) STRICT, WITHOUT ROWID;

-- The Topic Filters within which an owner may grant.
CREATE TABLE owner_tree (
    owner    TEXT NOT NULL REFERENCES owner (name) ON DELETE CASCADE,
    audience TEXT NOT NULL REFERENCES resource_server (audience) ON DELETE CASCADE,
    filter   TEXT NOT NULL,
    PRIMARY KEY (owner, audience, filter)
) STRICT, WITHOUT ROWID;

CREATE INDEX owner_tree_by_audience ON owner_tree (audience);

CREATE TABLE new_policy (
    -- AUTOINCREMENT: an identifier that was removed never names another policy.
    id                  INTEGER PRIMARY KEY AUTOINCREMENT,
    -- One of the two.
    client_id           TEXT REFERENCES client (client_id) ON DELETE CASCADE,
    group_name          TEXT REFERENCES client_group (name) ON DELETE CASCADE,
    effect              TEXT NOT NULL CHECK (effect IN ('allow', 'deny')),
    audience            TEXT NOT NULL REFERENCES resource_server (audience),
    filter              TEXT NOT NULL,
    publish             INTEGER NOT NULL CHECK (publish IN (0, 1)),
    subscribe           INTEGER NOT NULL CHECK (subscribe IN (0, 1)),
    -- Seconds since 1970: from this one on, and before this one.
    valid_from          INTEGER,
    valid_until         INTEGER,
    token_lifetime_secs INTEGER CHECK (token_lifetime_secs > 0),
    -- What an owner granted goes with them.
    granted_by          TEXT REFERENCES owner (name) ON DELETE CASCADE,
    CHECK ((client_id IS NULL) <> (group_name IS NULL)),
    CHECK (publish + subscribe > 0),
    CHECK (valid_from < valid_until),
    CHECK (effect = 'allow' OR token_lifetime_secs IS NULL)
) STRICT;

INSERT INTO new_policy (id, client_id, effect, audience, filter, publish, subscribe, token_lifetime_secs)
SELECT id, client_id, 'allow', audience, filter, publish, subscribe, token_lifetime_secs FROM policy;

CREATE TABLE old_sequence AS SELECT seq FROM sqlite_sequence WHERE name = 'policy';
DROP TABLE policy;
ALTER TABLE new_policy RENAME TO policy;
DELETE FROM sqlite_sequence WHERE name IN ('policy', 'new_policy');
INSERT INTO sqlite_sequence (name, seq) SELECT 'policy', seq FROM old_sequence;
DROP TABLE old_sequence;

CREATE UNIQUE INDEX policy_once ON policy (
    coalesce(client_id, ''), coalesce(group_name, ''), effect, audience, filter, publish, subscribe,
    coalesce(valid_from, -1), coalesce(valid_until, -1), coalesce(granted_by, '')
);
CREATE INDEX policy_by_client ON policy (client_id) WHERE client_id IS NOT NULL;
CREATE INDEX policy_by_group ON policy (group_name) WHERE group_name IS NOT NULL;
CREATE INDEX policy_by_audience ON policy (audience);
CREATE INDEX policy_by_owner ON policy (granted_by) WHERE granted_by IS NOT NULL;

-- Who did what, and how it ended. Each record's hash covers that of the one before.
CREATE TABLE audit (
    number  INTEGER NOT NULL PRIMARY KEY,
    -- Seconds since 1970.
    at      INTEGER NOT NULL,
    actor   TEXT NOT NULL,
    action  TEXT NOT NULL,
    object  TEXT NOT NULL,
    outcome TEXT NOT NULL CHECK (outcome IN ('done', 'refused')),
    detail  TEXT NOT NULL,
    hash    BLOB NOT NULL CHECK (length(hash) = 32)
) STRICT;

-- Where the chain begins, which is the last record that was let go, and where it ends.
CREATE TABLE audit_end (
    which  TEXT NOT NULL PRIMARY KEY CHECK (which IN ('begin', 'end')),
    number INTEGER NOT NULL,
    hash   BLOB NOT NULL CHECK (length(hash) = 32)
) STRICT, WITHOUT ROWID;

INSERT INTO audit_end (which, number, hash) VALUES ('begin', 0, zeroblob(32)), ('end', 0, zeroblob(32));

CREATE TRIGGER audit_is_never_changed BEFORE UPDATE ON audit
BEGIN
    SELECT RAISE (ABORT, 'the audit log is append-only');
END;

CREATE TRIGGER audit_is_not_shortened BEFORE DELETE ON audit
WHEN OLD.number > (SELECT number FROM audit_end WHERE which = 'begin')
BEGIN
    SELECT RAISE (ABORT, 'the audit log is append-only');
END;

PRAGMA user_version = 3;
