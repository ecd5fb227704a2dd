-- A room that was closed or opened by whoever runs the server, who is nobody's user.
ALTER TABLE log ADD COLUMN operator INTEGER
  CONSTRAINT log_operator CHECK (operator IS NULL OR (operator AND user_id IS NULL AND kind IN ('closed', 'reopened')));
