-- Keys shared with a resource server, each in its time. Where there are none here, those in resource_server are the ones in use.

CREATE TABLE shared_key (
    audience   TEXT NOT NULL REFERENCES resource_server (audience) ON DELETE CASCADE,
    purpose    TEXT NOT NULL CHECK (purpose IN ('content', 'mac', 'derivation')),
    kid        TEXT NOT NULL,
    secret     BYTEA NOT NULL CHECK (length(secret) = 32),
    -- Seconds since 1970.
    used_from  BIGINT NOT NULL,
    -- Until when something lives that was made with it; of the last one nobody knows yet.
    good_until BIGINT,
    PRIMARY KEY (audience, purpose, kid)
);
