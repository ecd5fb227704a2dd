-- In the order in which everything else takes them.
LOCK TABLE members, messages IN ACCESS EXCLUSIVE MODE;

-- An author's id for a message is looked up by the id first. Snug's clients make ids that begin with the time (UUIDv7): what is new
-- stands together at the end of the index, not on a page of its own for each author.
ALTER TABLE messages DROP CONSTRAINT messages_author_id, ADD CONSTRAINT messages_by_id UNIQUE (id, author_id);

-- That a message's author is among the room's members was asked twice of each message: by messages_by_members, and by a foreign key,
-- which also locks the member, a fifth of what a message costs. The first goes on asking, and who was in a room stays there.
CREATE FUNCTION members_stay() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'who was in a room stays among its members' USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER members_stay BEFORE DELETE OR TRUNCATE OR UPDATE OF room_id, user_id ON members
FOR EACH STATEMENT EXECUTE FUNCTION members_stay();
CREATE FUNCTION messages_stay() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'a message keeps its room and its author' USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER messages_stay BEFORE UPDATE OF room_id, author_id ON messages
FOR EACH STATEMENT EXECUTE FUNCTION messages_stay();
ALTER TABLE messages DROP CONSTRAINT messages_room_id_author_id_fkey;
