// A site with an unmodified next-auth v3 that keeps its sessions in cookies
// (session.jwt) changes over: whoever is signed in there is signed in here, with
// a session that ends when they sign out, and stays ended.
import { after, before, test } from 'node:test';
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { build, dir, freePorts, run, start, stopAll } from './world.mjs';
import { visitor } from './visitor.mjs';

const folder = new URL('./nextauth/', import.meta.url).pathname;
const secret = 'a secret that both sites have, 32+';
const key = (alg, bytes) => JSON.stringify({ kty: 'oct', alg, k: Buffer.alloc(bytes, alg).toString('base64url') });
const signingKey = key('HS512', 64), encryptionKey = key('A256GCM', 32);
let gatepost, database, pg, socket, port;

before(async () => {
  port = await freePorts(12);
  const { match } = await start(build('gatepost-dev'), ['-port', String(port), '-dir', dir('dev')], { ready: /Database\s+(\S+)/ });
  socket = new URL(match[1].replace('postgres:///', 'postgres://x/')).searchParams.get('host');
  gatepost = build('gatepost');
  const { Client } = createRequire(folder + 'site.mjs')('pg');
  const own = new Client({ host: socket, user: 'gatepost', database: 'postgres' });
  await own.connect();
  await own.query('CREATE DATABASE site');
  await own.end();
  database = `postgres:///site?user=gatepost&host=${socket}`;
  await run(gatepost, ['migrate'], { GATEPOST_PUBLIC_URL: 'https://site.example.org', GATEPOST_KEYS: 'k'.repeat(40), GATEPOST_DATABASE_URL: database });
  pg = new Client({ host: socket, user: 'gatepost', database: 'site' });
  await pg.connect();
});

after(async () => {
  await pg?.end();
  await stopAll();
});

const count = async () => Number((await pg.query('SELECT count(*) FROM sessions')).rows[0].count);

for (const [n, [name, jwt, settings]] of Object.entries([
  ['signed', {}, {}],
  ['encrypted', { encryption: true }, { GATEPOST_NEXTAUTH_JWT_ENCRYPTION: 'true' }],
  ['with keys of its own', { encryption: true, signingKey, encryptionKey },
    { GATEPOST_NEXTAUTH_JWT_ENCRYPTION: 'true', GATEPOST_NEXTAUTH_JWT_SIGNING_KEY: signingKey, GATEPOST_NEXTAUTH_JWT_ENCRYPTION_KEY: encryptionKey }],
])) {
  test(`cookies that are ${name}`, async () => {
    const at = port + 4 + 2 * n;
    const old = `http://127.0.0.1:${at}`, here = `http://127.0.0.1:${at + 1}`;
    const typeorm = { type: 'postgres', host: socket, username: 'gatepost', database: 'site', synchronize: false };
    await start('node', [folder + 'site.mjs'], {
      env: { PORT: String(at), SECRET: secret, DATABASE: JSON.stringify(typeorm), TABLES: 'documented', OPTIONS: JSON.stringify({ session: { jwt: true }, jwt }) }, ready: /site at/,
    });
    await start(gatepost, ['serve'], {
      env: {
        GATEPOST_PUBLIC_URL: here, GATEPOST_DEV: 'true', GATEPOST_LISTEN: `127.0.0.1:${at + 1}`, GATEPOST_ADMIN_LISTEN: '', GATEPOST_DRAIN: '0s', GATEPOST_DATABASE_URL: database,
        GATEPOST_KEYS: 'k'.repeat(40), GATEPOST_COMPAT: 'nextauth-v3', GATEPOST_NEXTAUTH_SECRET: secret, GATEPOST_NEXTAUTH_SESSIONS: 'jwt', ...settings,
      }, ready: /"serving"/,
    });

    const ada = visitor(old);
    const go = await ada.post('/api/auth/signin/idp', { callbackUrl: '/in' });
    const back = await ada.ask(`${go.headers.get('location')}&as=ada${n}`);
    await ada.ask(back.headers.get('location'));
    const before = await ada.session();
    assert.equal(before.user.email, `ada${n}@example.org`);
    assert.equal(await count(), 0);
    const cookie = ada.cookies['next-auth.session-token'];
    assert.equal(cookie.split('.').length, jwt.encryption ? 5 : 3);

    // A PKCE cookie has the same form and keys, and is nobody (CVE-2023-48309).
    const { encode } = createRequire(folder + 'site.mjs')('next-auth/jwt');
    const verifier = await encode({ secret, ...jwt, token: { code_verifier: 'v'.repeat(64) }, maxAge: 900, encryption: true });
    assert.deepEqual(await visitor(here, { 'next-auth.session-token': verifier }).session(), {});

    // Two tabs come at once, with what the browser has.
    const [one, two] = [visitor(here, { ...ada.cookies }), visitor(here, { ...ada.cookies })];
    const [first, second] = await Promise.all([one.session(), two.session()]);
    assert.deepEqual(first.user, before.user);
    assert.deepEqual(second.user, before.user);
    const fresh = one.cookies['next-auth.session-token'];
    assert.match(fresh, /^[0-9a-f]{64}$/);
    assert.equal(two.cookies['next-auth.session-token'], fresh);
    assert.equal(await count(), 1);

    // The way back signs out: the old site does not know what a row's token is.
    assert.deepEqual(await visitor(old, { ...one.cookies }).session(), {});

    const stolen = visitor(here, { 'next-auth.session-token': cookie });
    await one.post('/api/auth/signout', { callbackUrl: '/' });
    assert.equal(one.cookies['next-auth.session-token'], undefined);
    for (const b of [one, two, stolen]) assert.deepEqual(await b.session(), {});
    assert.equal(await count(), 0);
  });
}
