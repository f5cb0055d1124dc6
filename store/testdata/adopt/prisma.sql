-- Prisma: cuids, moments in UTC without saying so, accounts and sessions without an id of their own.
CREATE TABLE "User" (id text PRIMARY KEY, name text, email text NOT NULL UNIQUE, "emailVerified" timestamp(3), image text, "createdAt" timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP, "updatedAt" timestamp(3) NOT NULL);
CREATE TABLE "Account" ("userId" text NOT NULL REFERENCES "User" (id) ON DELETE CASCADE, type text NOT NULL, provider text NOT NULL, "providerAccountId" text NOT NULL, refresh_token text, access_token text, expires_at integer, token_type text, scope text, id_token text, session_state text, PRIMARY KEY (provider, "providerAccountId"));
CREATE TABLE "Session" ("sessionToken" text NOT NULL UNIQUE, "userId" text NOT NULL REFERENCES "User" (id) ON DELETE CASCADE, expires timestamp(3) NOT NULL);
CREATE TABLE "VerificationToken" (identifier text NOT NULL, token text NOT NULL, expires timestamp(3) NOT NULL, PRIMARY KEY (identifier, token));
INSERT INTO "User" VALUES ('ckz', 'Ada', 'Ada@Example.org', '2026-02-03 04:05:06.789', NULL, '2026-01-01', '2026-01-01'), ('cka', 'Bob', 'bob@example.org', NULL, NULL, '2026-01-02', '2026-01-02'), ('ckb', 'Cy', 'cy@example.org', NULL, NULL, '2026-01-03', '2026-01-03');
INSERT INTO "Account" ("userId", type, provider, "providerAccountId", access_token, expires_at) VALUES ('ckz', 'oauth', 'github', '12345', 'at', 1770000000), ('cka', 'oidc', 'google', 'sub', NULL, NULL);
INSERT INTO "Session" VALUES ('token-of-ada', 'ckz', '2099-01-01'), ('token-of-bob', 'cka', '2099-01-02');
INSERT INTO "VerificationToken" VALUES ('new@example.org', 'hash', '2099-01-01');
