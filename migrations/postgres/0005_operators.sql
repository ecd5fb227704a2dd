-- A room that was closed or opened by whoever runs the server, who is nobody's user.
ALTER TABLE log ADD COLUMN operator BOOLEAN
  CONSTRAINT log_operator CHECK (operator IS NULL OR (operator AND user_id IS NULL AND kind IN ('closed', 'reopened')));

-- Word for the other processes on this database, which they read twice a second: a login has ended, or a room's log goes on.
ALTER TABLE server ADD COLUMN last_notice BIGINT NOT NULL DEFAULT 0;
CREATE TABLE notices (
  -- 1, 2, 3, … in the order of the commits: taken from `server.last_notice`, whose row stays locked until the commit.
  number BIGINT PRIMARY KEY,
  login_id UUID REFERENCES logins (id),
  room_id UUID REFERENCES rooms (id),
  seq BIGINT,
  at BIGINT NOT NULL,
  CHECK ((login_id IS NULL) <> (room_id IS NULL) AND (room_id IS NULL) = (seq IS NULL))
);
