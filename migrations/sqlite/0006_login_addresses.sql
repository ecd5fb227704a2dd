-- From where an account was logged in to, ended logins too: looked up while someone guesses its password.
CREATE INDEX logins_by_age ON logins (account_id, created_at);
