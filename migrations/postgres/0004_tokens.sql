-- Tokens for programs.

-- What tokens are signed with, where the settings give no key: 32 random bytes, made at the first start, the same for all
-- servers on this database.
ALTER TABLE server ADD COLUMN token_key BYTEA;

-- When a login is over by itself: one that a token stands for. NULL: while its session lasts.
ALTER TABLE logins ADD COLUMN until_at BIGINT;

-- Each opens one socket, once and soon.
CREATE TABLE tickets (
  -- SHA-256 of the ticket: what stands here opens nothing.
  hash BYTEA PRIMARY KEY,
  login_id UUID NOT NULL REFERENCES logins (id),
  expires_at BIGINT NOT NULL
);
CREATE INDEX tickets_expiry ON tickets (expires_at);
