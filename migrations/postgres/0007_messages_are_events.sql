-- A message is its own event of the log: a second row for each was a third of what a message wrote.

-- Every other change in a room. It holds no text: `message_seq` names the message.
CREATE TABLE changes (
  room_id UUID NOT NULL REFERENCES rooms (id),
  seq BIGINT NOT NULL CHECK (seq > 0),
  kind TEXT NOT NULL CHECK (kind IN ('edited', 'deleted', 'reacted', 'joined', 'left', 'renamed', 'closed', 'reopened')),
  -- NULL for what nobody did, and for what the operator did, who is nobody's user.
  user_id UUID REFERENCES users (id),
  operator BOOLEAN,
  message_seq BIGINT,
  at BIGINT NOT NULL,
  PRIMARY KEY (room_id, seq),
  CHECK ((message_seq IS NOT NULL) = (kind IN ('edited', 'deleted', 'reacted'))),
  CONSTRAINT changes_operator CHECK (operator IS NULL OR (operator AND user_id IS NULL AND kind IN ('closed', 'reopened')))
);
INSERT INTO changes (room_id, seq, kind, user_id, operator, message_seq, at)
SELECT room_id, seq, kind, user_id, operator, message_seq, at FROM log WHERE kind <> 'message';
DROP TABLE log;
-- Joins, leaves and the like, for the pages, which show them between the messages.
CREATE INDEX changes_notes ON changes (room_id, seq) WHERE message_seq IS NULL;

-- All of a room's events, in order and without a gap.
CREATE VIEW log AS
SELECT room_id, seq, 'message' AS kind, author_id AS user_id, NULL::boolean AS operator, seq AS message_seq, at FROM messages
UNION ALL
SELECT room_id, seq, kind, user_id, operator, message_seq, at FROM changes;

-- The second guard: only a current member writes, only into an open room, and beyond its end.
CREATE OR REPLACE FUNCTION messages_by_members() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NOT EXISTS (
    SELECT 1 FROM members m JOIN rooms r ON r.id = m.room_id
    WHERE m.room_id = NEW.room_id AND m.user_id = NEW.author_id AND m.until_seq IS NULL AND r.closed_at IS NULL AND NEW.seq > r.last_seq
  ) THEN
    RAISE EXCEPTION 'not a member, a closed room, or a place that is taken' USING ERRCODE = 'check_violation';
  END IF;
  RETURN NEW;
END $$;
CREATE FUNCTION changes_beside_messages() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT 1 FROM messages WHERE room_id = NEW.room_id AND seq = NEW.seq) THEN
    RAISE EXCEPTION 'a place that is taken' USING ERRCODE = 'unique_violation';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER changes_beside_messages BEFORE INSERT ON changes FOR EACH ROW EXECUTE FUNCTION changes_beside_messages();
