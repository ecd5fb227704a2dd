-- What a room is found by: its name and topic without case and accents, written by the program, which knows more letters than
-- an engine's lower(). NULL: a room from before this column; it gets its key when the server starts.
ALTER TABLE rooms ADD COLUMN search_key TEXT;
