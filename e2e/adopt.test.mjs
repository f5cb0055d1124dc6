// A site with an unmodified next-auth v3 makes its database by itself, people
// sign in, and the database changes over: v3 goes on by the views, nobody is
// signed out, every row is as it was, and the way back leads back.
import { after, before, test } from 'node:test';
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { build, dir, freePorts, run, start, stopAll } from './world.mjs';
import { visitor } from './visitor.mjs';

const folder = new URL('./nextauth/', import.meta.url).pathname;
const role = 'nextauth_v3';
const file = dir('before.json');
let gatepost, env, pg, socket, port;

before(async () => {
  port = await freePorts(10);
  const dev = build('gatepost-dev');
  const { match } = await start(dev, ['-port', String(port), '-dir', dir('dev')], { ready: /Database\s+(\S+)/ });
  socket = new URL(match[1].replace('postgres:///', 'postgres://x/')).searchParams.get('host');
  gatepost = build('gatepost');
  const { Client } = createRequire(folder + 'site.mjs')('pg');
  const own = new Client({ host: socket, user: 'gatepost', database: 'postgres' });
  await own.connect();
  await own.query('CREATE ROLE site SUPERUSER LOGIN');
  await own.query('CREATE DATABASE site OWNER site');
  await own.end();
  pg = new Client({ host: socket, user: 'gatepost', database: 'site' });
  await pg.connect();
  env = { GATEPOST_PUBLIC_URL: 'https://site.example.org', GATEPOST_KEYS: 'k'.repeat(40), GATEPOST_DATABASE_URL: `postgres:///site?user=gatepost&host=${socket}` };
});

after(async () => {
  await pg?.end();
  await stopAll();
});

const serve = async (n, username, synchronize) => {
  const database = { type: 'postgres', host: socket, username, database: 'site', synchronize };
  const { child } = await start('node', [folder + 'site.mjs'], { env: { PORT: String(port + n), SECRET: 'a secret of the site', DATABASE: JSON.stringify(database) }, ready: /site at/ });
  const links = [];
  child.stdout.on('data', (chunk) => links.push(...String(chunk).matchAll(/^mail (\S+)$/gm)));
  return { origin: `http://127.0.0.1:${port + n}`, links };
};

async function byProvider(site, who) {
  const b = visitor(site.origin);
  const go = await b.post('/api/auth/signin/idp', { callbackUrl: '/in' });
  const back = await b.ask(`${go.headers.get('location')}&as=${who}`);
  const done = await b.ask(back.headers.get('location'));
  assert.equal(done.headers.get('location'), `${site.origin}/in`);
  assert.equal((await b.session()).user.email, `${who}@example.org`);
  return b;
}

async function byMail(site, email) {
  const b = visitor(site.origin);
  await b.post('/api/auth/signin/email', { email });
  await b.ask(site.links.pop()[1]);
  assert.equal((await b.session()).user.email, email);
  return b;
}

const rows = async () => JSON.stringify((await pg.query(`
  SELECT (SELECT jsonb_agg(to_jsonb(r) ORDER BY id) FROM users r) AS users, (SELECT jsonb_agg(to_jsonb(r) ORDER BY id) FROM sessions r) AS sessions,
    (SELECT jsonb_agg(to_jsonb(r) - 'provider' - 'type' - 'provider_id' - 'provider_type' ORDER BY id) FROM accounts r) AS accounts`)).rows);
const adopt = (...args) => run(gatepost, ['adopt', ...args], env);

test('the database of an unmodified next-auth v3 changes over while people stay signed in', async () => {
  const old = await serve(4, 'site', true);
  await visitor(old.origin).session(); // connects, and makes the tables
  const ada = await byProvider(old, 'ada'), bob = await byMail(old, 'bob@example.org');
  const before = await rows();

  const plan = await adopt('--fingerprint', file);
  assert.match(plan, /are NextAuth v3's/);
  assert.match(plan, /ALTER TABLE accounts RENAME COLUMN provider_type TO type;/);
  assert.equal(await rows(), before);

  // The views first: the site moves to them at its leisure.
  await adopt('--views-only', '--apply');
  const site = await serve(5, role, false);
  assert.equal((await visitor(site.origin, ada.cookies).session()).user.email, 'ada@example.org');
  assert.equal(await rows(), before);

  // Then the tables, under the running site.
  assert.match(await adopt('--apply'), /Done, in one transaction/);
  assert.equal(await rows(), before);
  assert.match(await adopt('--verify', file), /the same as/);
  assert.match(await run(gatepost, ['migrate'], env), /nothing to do/);

  for (const [b, email] of [[ada, 'ada@example.org'], [bob, 'bob@example.org']]) {
    assert.equal((await visitor(site.origin, b.cookies).session()).user.email, email, 'was signed out');
  }
  const eve = await byProvider(site, 'eve');
  await byMail(site, 'finn@example.org');
  await byProvider(site, 'ada'); // a known account
  assert.equal((await pg.query("SELECT count(*)::int AS n FROM accounts WHERE provider = 'idp' AND type = 'oauth'")).rows[0].n, 2);
  await eve.post('/api/auth/signout', {});
  assert.deepEqual(await eve.session(), {});
  assert.equal((await pg.query("SELECT count(*)::int AS n FROM sessions s JOIN users u ON u.id = user_id WHERE email = 'eve@example.org'")).rows[0].n, 0);
  assert.equal((await pg.query('SELECT count(*)::int AS n FROM verification_tokens')).rows[0].n, 0);
  assert.match(await adopt(), /are the documented ones/);

  // And back.
  const late = await rows();
  await adopt('--drop-views', '--apply');
  await pg.query((await pg.query('SELECT way_back FROM gatepost.adoptions')).rows[0].way_back);
  assert.equal(await rows(), late);
  const again = await serve(6, 'site', true);
  assert.equal((await visitor(again.origin, ada.cookies).session()).user.email, 'ada@example.org');
  await byProvider(again, 'gus');
  assert.match(await adopt(), /are NextAuth v3's/);
});
