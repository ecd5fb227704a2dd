-- Idle rooms close.

-- The rooms that are there from the start never close.
UPDATE rooms SET idle_after = NULL, closed_at = NULL WHERE created_by IS NULL;

-- From when on idleness counts: from the room's making, its last message, or its being opened again, whichever was last.
-- Joins and leaves do not count. No index has it, so that a message changes none.
ALTER TABLE rooms ADD COLUMN idle_from BIGINT
  CONSTRAINT rooms_first_stay CHECK (created_by IS NOT NULL OR (idle_after IS NULL AND closed_at IS NULL));
UPDATE rooms SET idle_from = coalesce((SELECT at FROM messages WHERE room_id = rooms.id ORDER BY seq DESC LIMIT 1), created_at);

-- The rooms that may close by themselves.
CREATE INDEX rooms_closing ON rooms (id) WHERE idle_after IS NOT NULL AND closed_at IS NULL;

-- The second guard: only a current member writes, and only into an open room.
CREATE OR REPLACE FUNCTION messages_by_members() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NOT EXISTS (
    SELECT 1 FROM members m JOIN rooms r ON r.id = m.room_id
    WHERE m.room_id = NEW.room_id AND m.user_id = NEW.author_id AND m.until_seq IS NULL AND r.closed_at IS NULL
  ) THEN
    RAISE EXCEPTION 'not a member, or a closed room' USING ERRCODE = 'check_violation';
  END IF;
  RETURN NEW;
END $$;
