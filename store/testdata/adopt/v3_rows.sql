INSERT INTO users (name, email, email_verified, image) VALUES ('Ada', 'ada@example.org', NULL, 'https://example.org/a.png'), (NULL, 'bob@example.org', '2026-02-03 04:05:06.789Z', NULL), ('No address', NULL, NULL, NULL);
INSERT INTO accounts (compound_id, user_id, provider_type, provider_id, provider_account_id, refresh_token, access_token) SELECT encode(sha256(convert_to('google:' || n, 'UTF8')), 'hex'), n, 'oauth', 'google', n, 'r' || n, 'a' || n FROM unnest(ARRAY[1, 3]) n;
INSERT INTO sessions (user_id, expires, session_token, access_token) SELECT n, '2099-01-01', md5('s' || n), md5('a' || n) FROM generate_series(1, 3) n;
INSERT INTO verification_requests (identifier, token, expires) VALUES ('new@example.org', 'hash', '2099-01-01');
