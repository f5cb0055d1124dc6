// A site with an unmodified next-auth v3, without Next: what its API route gets
// from Next is made here from node:http. Its OAuth provider is an OpenID provider
// beside it, or one of its own that lets ?as= in.
//
//   PORT      where it listens
//   ORIGIN    where browsers reach it; the port by default
//   SECRET    NextAuth's
//   DATABASE  TypeORM's options as JSON
//   IDP       where a provider is in its place that answers like it
//   ISSUER    the OpenID provider, as «work», and with PKCE as «strict»; by default its own, as «idp»
//   SMTP      where mail goes, as smtp://127.0.0.1:2525; printed by default
//   TABLES    documented: NextAuth's own model override, for the documented names
//   OPTIONS   further options of NextAuth's, as JSON
import http from 'node:http';
import { createRequire } from 'node:module';

const { PORT, SECRET, DATABASE, ISSUER, SMTP, TABLES, OPTIONS = '{}' } = process.env;
const origin = process.env.NEXTAUTH_URL = process.env.ORIGIN ?? `http://127.0.0.1:${PORT}`;
const own = process.env.IDP ?? `${origin}/idp`;
const require = createRequire(import.meta.url);
const { default: NextAuth } = require('next-auth');
const { default: Providers } = require('next-auth/providers');
const { default: Adapters } = require('next-auth/adapters');

const client = { type: 'oauth', version: '2.0', params: { grant_type: 'authorization_code' }, clientId: 'site', clientSecret: 'a-secret-of-some-length' };
const idp = {
  ...client, id: 'idp', name: 'Provider', scope: 'profile',
  accessTokenUrl: `${own}/token`, authorizationUrl: `${own}/authorize?response_type=code`, profileUrl: `${own}/profile`,
  profile: (p) => ({ id: p.id, name: p.name, email: p.email, image: null }),
};
const work = {
  ...client, id: 'work', name: 'Work', scope: 'openid email profile',
  accessTokenUrl: `${ISSUER}/token`, authorizationUrl: `${ISSUER}/auth?response_type=code`, profileUrl: `${ISSUER}/me`,
  profile: (p) => ({ id: p.sub, name: p.name, email: p.email, image: p.picture }),
};
const strict = { ...work, id: 'strict', name: 'Strict', protection: ['state', 'pkce'] };
const printed = { sendVerificationRequest: async ({ url }) => console.log(`mail ${url}`) };
const mail = Providers.Email({ server: SMTP ?? '', from: 'Site <sign-in@site.example>', ...(SMTP ? {} : printed) });

// The models of NextAuth's documentation, "Custom models".
function documented() {
  const { Account, VerificationRequest } = Adapters.TypeORM.Models;
  const { providerType, providerId, ...columns } = Account.schema.columns;
  return {
    Account: { model: Account.model, schema: { ...Account.schema, columns: { ...columns, providerType: { ...providerType, name: 'type' }, providerId: { ...providerId, name: 'provider' } } } },
    VerificationRequest: { model: VerificationRequest.model, schema: { ...VerificationRequest.schema, tableName: 'verification_tokens' } },
  };
}

const database = JSON.parse(DATABASE);
const options = {
  providers: [...(ISSUER ? [work, strict] : [idp]), mail], secret: SECRET, ...JSON.parse(OPTIONS),
  ...(TABLES === 'documented' ? { adapter: Adapters.TypeORM.Adapter(database, { models: documented() }) } : { database }),
};

const read = async (req) => {
  let body = '';
  for await (const chunk of req) body += chunk;
  return Object.fromEntries(new URLSearchParams(body));
};

// provider answers as the OAuth provider; the code is the person.
function provider(path, query, body, req, res) {
  if (path === '/idp/authorize') {
    const back = new URL(query.redirect_uri);
    back.searchParams.set('code', query.as);
    back.searchParams.set('state', query.state);
    return res.writeHead(302, { location: back.href }).end();
  }
  res.setHeader('content-type', 'application/json');
  if (path === '/idp/token') return res.end(JSON.stringify({ access_token: body.code, refresh_token: `refresh-${body.code}`, token_type: 'bearer' }));
  const id = req.headers.authorization.replace('Bearer ', '');
  res.end(JSON.stringify({ id, name: `The ${id}`, email: `${id}@example.org` }));
}

// Node closes what was idle for 5 s even where a request is on its way; nginx
// would ask again, the fronts of the tests do not.
http.createServer({ keepAliveTimeout: 60_000 }, async (req, res) => {
  const url = new URL(req.url, origin);
  const query = Object.fromEntries(url.searchParams);
  const body = await read(req);
  if (url.pathname.startsWith('/idp/')) return provider(url.pathname, query, body, req, res);
  if (!url.pathname.startsWith('/api/auth/')) return res.end('the site');
  const cookies = Object.fromEntries((req.headers.cookie ?? '').split('; ').filter(Boolean).map((c) => {
    const at = c.indexOf('=');
    return [c.slice(0, at), decodeURIComponent(c.slice(at + 1))];
  }));
  Object.assign(req, { query: { ...query, nextauth: url.pathname.slice('/api/auth/'.length).split('/') }, body, cookies });
  res.status = (code) => { res.statusCode = code; return res; };
  res.send = (text) => res.end(text);
  res.json = (value) => { res.setHeader('content-type', 'application/json; charset=utf-8'); return res.end(JSON.stringify(value)); };
  await NextAuth(req, res, options);
}).listen(Number(PORT), '127.0.0.1', () => console.log(`site at ${origin}`));
