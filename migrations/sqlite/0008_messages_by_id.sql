-- An author's id for a message is looked up by the id first. Snug's clients make ids that begin with the time (UUIDv7): what is new
-- stands together at the end of the index, not on a page of its own for each author, which was half of the pages that messages write.
-- (The index was the table's, so the table is made anew.)
DROP VIEW log;
DROP TRIGGER changes_beside_messages;
DROP TRIGGER messages_by_members;

CREATE TABLE new_messages (
  -- That there is the room follows from there being the member.
  room_id BLOB NOT NULL,
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
  FOREIGN KEY (room_id, author_id) REFERENCES members (room_id, user_id),
  FOREIGN KEY (room_id, reply_to) REFERENCES new_messages (room_id, seq),
  CHECK (changed_seq >= seq)
) STRICT, WITHOUT ROWID;
INSERT INTO new_messages (room_id, seq, author_id, id, text, at, changed_seq, reply_to, edited_at, deleted_at)
SELECT room_id, seq, author_id, id, text, at, changed_seq, reply_to, edited_at, deleted_at FROM messages ORDER BY room_id, seq;
-- For the foreign key to itself: without this, each row that goes with the table is looked for among all of its room.
CREATE INDEX going ON messages (room_id, reply_to) WHERE reply_to IS NOT NULL;
DROP TABLE messages;
ALTER TABLE new_messages RENAME TO messages;
CREATE UNIQUE INDEX messages_by_id ON messages (id, author_id);

CREATE VIEW log AS
SELECT room_id, seq, 'message' AS kind, author_id AS user_id, NULL AS operator, seq AS message_seq, at FROM messages
UNION ALL
SELECT room_id, seq, kind, user_id, operator, message_seq, at FROM changes;

CREATE TRIGGER messages_by_members BEFORE INSERT ON messages
WHEN NOT EXISTS (
  SELECT 1 FROM members m JOIN rooms r ON r.id = m.room_id
  WHERE m.room_id = NEW.room_id AND m.user_id = NEW.author_id AND m.until_seq IS NULL AND r.closed_at IS NULL AND NEW.seq > r.last_seq
)
BEGIN
  SELECT RAISE(ABORT, 'not a member, a closed room, or a place that is taken');
END;
CREATE TRIGGER changes_beside_messages BEFORE INSERT ON changes
WHEN EXISTS (SELECT 1 FROM messages WHERE room_id = NEW.room_id AND seq = NEW.seq)
BEGIN
  SELECT RAISE(ABORT, 'a place that is taken');
END;
