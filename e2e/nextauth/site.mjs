// A site with an unmodified next-auth v3, without Next: what its API route gets
// from Next is made here from node:http. Mailed links are printed, and the
// OAuth provider lets ?as= in.
//
//   PORT, SECRET, DATABASE (TypeORM's options as JSON)
import http from 'node:http';
import { createRequire } from 'node:module';

const port = Number(process.env.PORT);
const origin = process.env.NEXTAUTH_URL = `http://127.0.0.1:${port}`;
const require = createRequire(import.meta.url);
const { default: NextAuth } = require('next-auth');

const idp = {
  id: 'idp', name: 'Provider', type: 'oauth', version: '2.0', scope: 'profile', params: { grant_type: 'authorization_code' },
  accessTokenUrl: `${origin}/idp/token`, authorizationUrl: `${origin}/idp/authorize?response_type=code`, profileUrl: `${origin}/idp/profile`,
  profile: (p) => ({ id: p.id, name: p.name, email: p.email, image: null }), clientId: 'site', clientSecret: 'secret',
};
const mail = {
  id: 'email', type: 'email', name: 'Email', server: '', from: 'site@example.org', maxAge: 24 * 60 * 60,
  sendVerificationRequest: async ({ url }) => console.log(`mail ${url}`),
};
const options = { providers: [idp, mail], database: JSON.parse(process.env.DATABASE), secret: process.env.SECRET };

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

http.createServer(async (req, res) => {
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
  res.json = (value) => { res.setHeader('content-type', 'application/json'); return res.end(JSON.stringify(value)); };
  await NextAuth(req, res, options);
}).listen(port, '127.0.0.1', () => console.log(`site at ${origin}`));
