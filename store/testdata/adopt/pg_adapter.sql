-- @auth/pg-adapter: integer ids, camelCase, no unique index anywhere.
CREATE TABLE users (id SERIAL PRIMARY KEY, name VARCHAR(255), email VARCHAR(255), "emailVerified" TIMESTAMPTZ, image TEXT);
CREATE TABLE accounts (id SERIAL PRIMARY KEY, "userId" INTEGER NOT NULL, type VARCHAR(255) NOT NULL, provider VARCHAR(255) NOT NULL, "providerAccountId" VARCHAR(255) NOT NULL,
  refresh_token TEXT, access_token TEXT, expires_at BIGINT, id_token TEXT, scope TEXT, session_state TEXT, token_type TEXT);
CREATE TABLE sessions (id SERIAL PRIMARY KEY, "userId" INTEGER NOT NULL, expires TIMESTAMPTZ NOT NULL, "sessionToken" VARCHAR(255) NOT NULL);
CREATE TABLE verification_token (identifier TEXT NOT NULL, expires TIMESTAMPTZ NOT NULL, token TEXT NOT NULL, PRIMARY KEY (identifier, token));
INSERT INTO users (id, name, email, "emailVerified") VALUES (7, 'Ada', 'Ada@Example.org', '2026-02-03 04:05:06.789Z'), (9, 'Bob', 'bob@example.org', NULL), (12, 'Cy', NULL, NULL);
INSERT INTO accounts ("userId", type, provider, "providerAccountId", access_token, expires_at) VALUES (7, 'oauth', 'github', '12345', 'at', 1770000000), (9, 'oidc', 'google', 'sub', NULL, NULL), (99, 'oauth', 'github', 'gone', NULL, NULL);
INSERT INTO sessions ("userId", expires, "sessionToken") VALUES (7, '2099-01-01', 'token-of-ada'), (9, '2099-01-02', 'token-of-bob');
INSERT INTO verification_token VALUES ('new@example.org', '2099-01-01', 'hash');
