-- What a username looks like as it was typed, written by the program: the key, which is without case, does not find that "aIice" with a
-- capital I looks like "alice". Not unique: who looked alike before this column stays. NULL: a user from before it; they get theirs when
-- the server starts.
ALTER TABLE users ADD COLUMN username_shape TEXT;
CREATE INDEX users_by_shape ON users (username_shape);
