-- Prisma with @map and @@map: snake_case, and tables by our names.
CREATE TABLE users (id text PRIMARY KEY, name text, email text UNIQUE, email_verified timestamp(3), image text);
CREATE TABLE accounts (id text PRIMARY KEY, user_id text NOT NULL REFERENCES users (id), type text NOT NULL, provider text NOT NULL, provider_account_id text NOT NULL, refresh_token text, access_token text, expires_at integer, UNIQUE (provider, provider_account_id));
CREATE TABLE sessions (id text PRIMARY KEY, session_token text NOT NULL UNIQUE, user_id text NOT NULL REFERENCES users (id), expires timestamp(3) NOT NULL);
CREATE TABLE verification_tokens (identifier text NOT NULL, token text NOT NULL UNIQUE, expires timestamp(3) NOT NULL, UNIQUE (identifier, token));
INSERT INTO users VALUES ('a', 'Ada', 'Ada@Example.org', '2026-02-03 04:05:06.789', NULL), ('b', 'Bob', 'bob@example.org', NULL, NULL), ('c', 'Cy', NULL, NULL, NULL);
INSERT INTO accounts (id, user_id, type, provider, provider_account_id, access_token, expires_at) VALUES ('x', 'a', 'oauth', 'github', '12345', 'at', 1770000000), ('y', 'b', 'oidc', 'google', 'sub', NULL, NULL);
INSERT INTO sessions VALUES ('p', 'token-of-ada', 'a', '2099-01-01'), ('q', 'token-of-bob', 'b', '2099-01-02');
INSERT INTO verification_tokens VALUES ('new@example.org', 'hash', '2099-01-01');
