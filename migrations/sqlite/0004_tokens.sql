-- Tokens for programs.

-- What tokens are signed with, where the settings give no key: 32 random bytes, made at the first start, the same for all
-- servers on this database.
ALTER TABLE server ADD COLUMN token_key BLOB;

-- When a login is over by itself: one that a token stands for. NULL: while its session lasts.
ALTER TABLE logins ADD COLUMN until_at INTEGER;

-- Each opens one socket, once and soon.
CREATE TABLE tickets (
  -- SHA-256 of the ticket: what stands here opens nothing.
  hash BLOB PRIMARY KEY,
  login_id BLOB NOT NULL REFERENCES logins (id),
  expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX tickets_expiry ON tickets (expires_at);
