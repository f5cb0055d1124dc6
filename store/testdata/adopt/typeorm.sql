-- TypeORM of v4 and v5: uuids, and moments as milliseconds in text.
CREATE TABLE users (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), name varchar, email varchar UNIQUE, "emailVerified" varchar, image varchar);
CREATE TABLE accounts (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), "userId" uuid NOT NULL REFERENCES users (id), type varchar NOT NULL, provider varchar NOT NULL, "providerAccountId" varchar NOT NULL, refresh_token varchar, access_token varchar, expires_at bigint, token_type varchar, scope varchar, id_token varchar, session_state varchar);
CREATE TABLE sessions (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), "sessionToken" varchar NOT NULL UNIQUE, "userId" uuid NOT NULL REFERENCES users (id), expires varchar NOT NULL);
CREATE TABLE verification_tokens (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), token varchar NOT NULL, identifier varchar NOT NULL, expires varchar NOT NULL);
INSERT INTO users VALUES ('00000000-0000-0000-0000-000000000001', 'Ada', 'Ada@Example.org', '1770091506789'), ('00000000-0000-0000-0000-000000000002', 'Bob', 'bob@example.org', NULL), ('00000000-0000-0000-0000-000000000003', 'Cy', NULL, NULL);
INSERT INTO accounts ("userId", type, provider, "providerAccountId", access_token, expires_at) VALUES ('00000000-0000-0000-0000-000000000001', 'oauth', 'github', '12345', 'at', 1770000000), ('00000000-0000-0000-0000-000000000002', 'oidc', 'google', 'sub', NULL, NULL);
INSERT INTO sessions ("userId", expires, "sessionToken") VALUES ('00000000-0000-0000-0000-000000000001', '4070908800000', 'token-of-ada'), ('00000000-0000-0000-0000-000000000002', '4070995200000', 'token-of-bob');
INSERT INTO verification_tokens (identifier, token, expires) VALUES ('new@example.org', 'hash', '4070908800000');
