-- NextAuth v3, as its default adapter synchronizes an empty database.
CREATE TABLE accounts (id SERIAL NOT NULL, compound_id varchar NOT NULL, user_id integer NOT NULL, provider_type varchar NOT NULL, provider_id varchar NOT NULL, provider_account_id varchar NOT NULL,
  refresh_token text, access_token text, access_token_expires timestamptz, created_at timestamptz NOT NULL DEFAULT now(), updated_at timestamptz NOT NULL DEFAULT now(), CONSTRAINT "UQ_a1" UNIQUE (compound_id), CONSTRAINT "PK_a2" PRIMARY KEY (id));
CREATE TABLE sessions (id SERIAL NOT NULL, user_id integer NOT NULL, expires timestamptz NOT NULL, session_token varchar NOT NULL, access_token varchar NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(), updated_at timestamptz NOT NULL DEFAULT now(), CONSTRAINT "UQ_s1" UNIQUE (session_token), CONSTRAINT "UQ_s2" UNIQUE (access_token), CONSTRAINT "PK_s3" PRIMARY KEY (id));
CREATE TABLE users (id SERIAL NOT NULL, name varchar, email varchar, email_verified timestamptz, image varchar, created_at timestamptz NOT NULL DEFAULT now(), updated_at timestamptz NOT NULL DEFAULT now(), CONSTRAINT "UQ_u1" UNIQUE (email), CONSTRAINT "PK_u2" PRIMARY KEY (id));
CREATE TABLE verification_requests (id SERIAL NOT NULL, identifier varchar NOT NULL, token varchar NOT NULL, expires timestamptz NOT NULL, created_at timestamptz NOT NULL DEFAULT now(), updated_at timestamptz NOT NULL DEFAULT now(), CONSTRAINT "UQ_v1" UNIQUE (token), CONSTRAINT "PK_v2" PRIMARY KEY (id));
CREATE INDEX "userId" ON accounts (user_id);
CREATE INDEX "providerId" ON accounts (provider_id);
CREATE INDEX "providerAccountId" ON accounts (provider_account_id);
