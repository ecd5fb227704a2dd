-- Times are whole microseconds since 1970 in an INTEGER.

-- This database's identity. `epoch` changes when a backup is restored: what clients remember is void then.
CREATE TABLE server (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  epoch BLOB NOT NULL
) STRICT;

-- How one logs in.
CREATE TABLE accounts (
  id BLOB PRIMARY KEY,
  email TEXT NOT NULL,
  -- The e-mail address in lower case: addresses compare without case.
  email_key TEXT NOT NULL CONSTRAINT accounts_email_key UNIQUE,
  -- A PHC string: scheme, version, parameters, salt, hash.
  password_hash TEXT NOT NULL,
  admin INTEGER NOT NULL DEFAULT FALSE,
  created_at INTEGER NOT NULL,
  disabled_at INTEGER
) STRICT;

-- Who one is.
CREATE TABLE users (
  id BLOB PRIMARY KEY,
  account_id BLOB NOT NULL UNIQUE REFERENCES accounts (id),
  username TEXT NOT NULL CHECK (length(username) BETWEEN 1 AND 32 AND username NOT LIKE '%@%'),
  -- The username without case: names compare without it.
  username_key TEXT NOT NULL CONSTRAINT users_username_key UNIQUE,
  display_name TEXT NOT NULL,
  created_at INTEGER NOT NULL
) STRICT;

-- What every request and every socket stands on. Never deleted: an ended one says when and stays.
CREATE TABLE logins (
  -- Public: names the login in lists and tokens, and opens nothing.
  id BLOB PRIMARY KEY,
  account_id BLOB NOT NULL REFERENCES accounts (id),
  created_at INTEGER NOT NULL,
  seen_at INTEGER NOT NULL,
  address TEXT NOT NULL,
  agent TEXT NOT NULL,
  ended_at INTEGER
) STRICT;
CREATE INDEX logins_of_account ON logins (account_id) WHERE ended_at IS NULL;

CREATE TABLE rooms (
  id BLOB PRIMARY KEY,
  -- Never changes.
  slug TEXT NOT NULL CONSTRAINT rooms_slug UNIQUE CHECK (length(slug) BETWEEN 1 AND 48),
  name TEXT NOT NULL CHECK (length(name) BETWEEN 1 AND 64),
  topic TEXT NOT NULL DEFAULT '',
  kind TEXT NOT NULL DEFAULT 'public' CHECK (kind IN ('public', 'private', 'direct')),
  -- NULL for the rooms that are there from the start.
  created_by BLOB REFERENCES users (id),
  created_at INTEGER NOT NULL,
  -- Closes after so long without a message; NULL: never.
  idle_after INTEGER CHECK (idle_after > 0),
  closed_at INTEGER,
  -- How many current members.
  member_count INTEGER NOT NULL DEFAULT 0 CHECK (member_count >= 0),
  -- The last event of its log, and when that was.
  last_seq INTEGER NOT NULL DEFAULT 0 CHECK (last_seq >= 0),
  active_at INTEGER NOT NULL
) STRICT;
CREATE INDEX rooms_of_creator ON rooms (created_by) WHERE created_by IS NOT NULL;

-- Who is, or was, in a room. A current member has no `until_seq`.
CREATE TABLE members (
  room_id BLOB NOT NULL REFERENCES rooms (id),
  user_id BLOB NOT NULL REFERENCES users (id),
  role TEXT NOT NULL DEFAULT 'member' CHECK (role IN ('member', 'moderator', 'owner')),
  since_seq INTEGER NOT NULL CHECK (since_seq > 0),
  until_seq INTEGER CHECK (until_seq > since_seq),
  read_seq INTEGER NOT NULL DEFAULT 0 CHECK (read_seq >= 0),
  PRIMARY KEY (room_id, user_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX members_of_user ON members (user_id, room_id) WHERE until_seq IS NULL;

-- The texts. A message is named by its place in its room, and by its author's own id for it.
CREATE TABLE messages (
  room_id BLOB NOT NULL REFERENCES rooms (id),
  seq INTEGER NOT NULL CHECK (seq > 0),
  author_id BLOB NOT NULL,
  id BLOB NOT NULL,
  text TEXT NOT NULL,
  at INTEGER NOT NULL,
  -- The place in the log of its last change: its own `seq` until it is edited, deleted or reacted to.
  changed_seq INTEGER NOT NULL,
  reply_to INTEGER,
  edited_at INTEGER,
  deleted_at INTEGER,
  PRIMARY KEY (room_id, seq),
  CONSTRAINT messages_author_id UNIQUE (author_id, id),
  FOREIGN KEY (room_id, author_id) REFERENCES members (room_id, user_id),
  FOREIGN KEY (room_id, reply_to) REFERENCES messages (room_id, seq),
  CHECK (changed_seq >= seq)
) STRICT, WITHOUT ROWID;

-- Every change in a room, in order and without a gap. It holds no text: `message_seq` names the message.
CREATE TABLE log (
  room_id BLOB NOT NULL REFERENCES rooms (id),
  seq INTEGER NOT NULL CHECK (seq > 0),
  kind TEXT NOT NULL CHECK (kind IN ('message', 'edited', 'deleted', 'reacted', 'joined', 'left', 'renamed', 'closed', 'reopened')),
  user_id BLOB REFERENCES users (id),
  message_seq INTEGER,
  at INTEGER NOT NULL,
  PRIMARY KEY (room_id, seq),
  CHECK ((message_seq IS NOT NULL) = (kind IN ('message', 'edited', 'deleted', 'reacted')))
) STRICT, WITHOUT ROWID;
-- Joins, leaves and the like, for the pages, which show them between the messages.
CREATE INDEX log_notes ON log (room_id, seq) WHERE message_seq IS NULL;

-- The rules are decided in the server; this is the second guard: only a current member writes.
CREATE TRIGGER messages_by_members BEFORE INSERT ON messages
WHEN NOT EXISTS (SELECT 1 FROM members WHERE room_id = NEW.room_id AND user_id = NEW.author_id AND until_seq IS NULL)
BEGIN
  SELECT RAISE(ABORT, 'not a member');
END;

-- The session store's table, of the shape that tower-sessions-sqlx-store gives it, with an index on the expiry.
CREATE TABLE tower_sessions (
  id TEXT PRIMARY KEY NOT NULL,
  data BLOB NOT NULL,
  expiry_date INTEGER NOT NULL
);
CREATE INDEX tower_sessions_expiry ON tower_sessions (expiry_date);
