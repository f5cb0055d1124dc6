// A running site of NextAuth v3 moves to Gatepost and back, as docs/nextauth.md
// has it: both work on one database with one secret, and one front decides which
// of them answers /api/auth. Nobody who is signed in notices.
import { after, before, test } from 'node:test';
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import http from 'node:http';
import { createRequire } from 'node:module';
import { readFileSync, writeFileSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { buildSync } from 'esbuild';
import Provider from 'oidc-provider';
import { build, dir, freePorts, launch, mailSink, root, run, start, stopAll } from './world.mjs';
import { visitor } from './visitor.mjs';

const folder = fileURLToPath(new URL('./nextauth/', import.meta.url));
const secret = 'the secret that both of them have, 32 bytes and more';
const role = 'nextauth_v3';
const day = 24 * 60 * 60 * 1000;

const addresses = { Ute: 'Ute@Bücher.example', Max: 'Max@Example.net' };
let port, origin, issuer, gatepost, env, sql, socket, mail, browser, behind, v3, ours, whoAsked = () => null;
const servers = [];
const listen = (server, at) => { servers.push(server.listen(at, '127.0.0.1')); };

before(async () => {
  port = await freePorts(10);
  [origin, issuer] = [`http://localhost:${port + 4}`, `http://localhost:${port + 5}`];
  const { match } = await start(build('gatepost-dev'), ['-port', String(port), '-dir', dir('takeover')], { ready: /Database\s+(\S+)/ });
  socket = new URL(match[1].replace('postgres:///', 'postgres://x/')).searchParams.get('host');
  gatepost = build('gatepost');
  mail = await mailSink();
  const { Client } = createRequire(folder)('pg');
  const own = new Client({ host: socket, user: 'gatepost', database: 'postgres' });
  await own.connect();
  await own.query('CREATE ROLE site SUPERUSER LOGIN');
  await own.query('CREATE DATABASE site OWNER site');
  await own.end();
  const db = new Client({ host: socket, user: 'gatepost', database: 'site' });
  await db.connect();
  sql = Object.assign(async (text, ...values) => (await db.query(text, values)).rows, { end: () => db.end() });

  listen(new Provider(issuer, {
    clients: [{ client_id: 'site', client_secret: 'a-secret-of-some-length', redirect_uris: ['work', 'strict'].map((id) => `${origin}/api/auth/callback/${id}`), token_endpoint_auth_method: 'client_secret_post' }],
    claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['name', 'picture'] },
    findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id, name: `${id} Lee`, email: addresses[id] ?? `${id}@example.net`, email_verified: true, picture: `https://pictures.example.net/${id}.png` }) }),
    pkce: { required: () => false }, // v3 does without, unless told
    cookies: { keys: ['a key of the test'] },
  }), port + 5);

  const script = buildSync({
    entryPoints: [fileURLToPath(new URL('nextauth-page.jsx', import.meta.url))], bundle: true, write: false, define: { 'process.env.NODE_ENV': '"production"', 'process.env': '{}' },
  }).outputFiles[0].text;
  listen(http.createServer((req, res) => {
    if (req.url.startsWith('/api/auth/')) {
      const onward = http.request({ port: whoAsked(req.url) ?? behind, host: '127.0.0.1', agent: kept, method: req.method, path: req.url, headers: req.headers }, (answer) => {
        res.writeHead(answer.statusCode, answer.rawHeaders);
        answer.pipe(res);
      }).on('error', (err) => { res.writeHead(502); res.end(String(err)); });
      return req.pipe(onward);
    }
    if (req.url === '/page.js') return res.writeHead(200, { 'Content-Type': 'text/javascript' }).end(script);
    res.writeHead(200, { 'Content-Type': 'text/html' }).end('<!doctype html><title>Site</title><div id="root"></div><script src="/page.js"></script>');
  }), port + 4);
});
const kept = new http.Agent({ keepAlive: true });

after(async () => {
  await browser?.close();
  mail?.close();
  kept.destroy();
  for (const server of servers) {
    server.close();
    server.closeAllConnections();
  }
  await sql?.end();
  await stopAll();
});

async function startV3(at, username, synchronize) {
  const database = { type: 'postgres', host: socket, username, database: 'site', synchronize };
  const { child } = await start('node', [`${folder}site.mjs`], {
    env: { PORT: String(at), ORIGIN: origin, SECRET: secret, DATABASE: JSON.stringify(database), ISSUER: issuer, SMTP: `smtp://127.0.0.1:${mail.port}`, NODE_ENV: 'production' }, ready: /site at/,
  });
  return { at, child };
}

const at = (server) => { behind = server.at; };

// sign-ins; where from tells who answers the second half.
async function begin(b, who, provider = 'work') {
  const go = await b.post(`/api/auth/signin/${provider}`, { callbackUrl: '/in' });
  const idp = visitor(issuer);
  let location = go.headers.get('location');
  for (let i = 0; i < 20; i++) {
    if (location.startsWith(origin)) return location;
    let r = await idp.ask(location);
    if (r.status === 200) { // a form of the provider's
      const prompt = /name="prompt" value="(\w+)"/.exec(await r.text())[1];
      r = await idp.ask(location, { prompt, login: who, password: 'anything' });
    }
    location = new URL(r.headers.get('location'), issuer).href;
  }
  throw new Error(`the provider leads round: ${location}`);
}

async function byProvider(who, b = visitor(origin)) {
  const done = await b.ask(await begin(b, who));
  assert.equal(done.headers.get('location'), `${origin}/in`);
  return b;
}

async function askForLink(email, b = visitor(origin), mailbox = email) {
  const asked = await b.post('/api/auth/signin/email', { email, callbackUrl: '/in' });
  assert.equal(asked.headers.get('location'), `${origin}/api/auth/verify-request?provider=email&type=email`);
  const message = await mail.next();
  assert.equal(message.to, mailbox);
  return /^http\S+/m.exec(message.text)[0];
}

// open is what a person does with a link: v3 signs in at once, Gatepost asks
// whether to, by a form, and which accounts to keep.
async function open(link, b, keep = false) {
  let r = await b.ask(link);
  if (r.status === 200) {
    const page = await r.text();
    const form = /<form[^>]*method="post"[^>]*action="([^"]*)"[^]*?<\/form>/i.exec(page);
    const fields = [...form[0].matchAll(/<input type="hidden" name="([^"]*)" value="([^"]*)"/g)].map(([, k, v]) => [k, v]);
    if (keep) fields.push(/type="checkbox" name="(keep)" value="(\d+)"/.exec(form[0]).slice(1));
    r = await b.ask(new URL(form[1].replaceAll('&amp;', '&'), origin), Object.fromEntries(fields));
  }
  return r;
}

async function byMail(email, b = visitor(origin), mailbox = email) {
  const done = await open(await askForLink(email, b, mailbox), b);
  assert.equal(done.headers.get('location'), `${origin}/in`);
  return b;
}

// whole is everything of an answer that a client can depend on. The charset of
// JSON is Next's.
async function whole(b) {
  const r = await b.ask('/api/auth/session');
  return { status: r.status, type: r.headers.get('content-type').split(';')[0], body: await r.text(), cookies: r.headers.getSetCookie() };
}

async function same(b) {
  at(v3);
  const theirs = await whole(b.again());
  at(ours);
  assert.deepEqual(await whole(b.again()), theirs);
  return JSON.parse(theirs.body);
}

test('a site of NextAuth v3 changes over while people are signed in', async () => {
  const old = await startV3(port + 6, 'site', true);
  at(old);
  await visitor(origin).session(); // connects, and makes the tables
  const ada = await byProvider('ada'), bob = await byMail('bob@example.org');
  assert.equal((await ada.session()).user.email, 'ada@example.net');

  env = { NEXTAUTH_SECRET: secret, SMTP_PASSWORD: 'x', GATEPOST_MAIL_USERNAME: '', GATEPOST_MAIL_PASSWORD: '', GATEPOST_PUBLIC_URL: origin, GATEPOST_DEV: 'true', GATEPOST_LISTEN: `127.0.0.1:${port + 8}`, GATEPOST_ADMIN_LISTEN: '', GATEPOST_DRAIN: '0s',
    GATEPOST_KEYS: 'k'.repeat(40), GATEPOST_DATABASE_URL: `postgres:///site?user=gatepost&host=${socket}`,
    GATEPOST_MAIL_CLIENT_PER_WINDOW: '100', GATEPOST_MAIL_HOST: `127.0.0.1:${mail.port}`, GATEPOST_MAIL_TLS: 'none', GATEPOST_MAIL_FROM: 'Site <sign-in@site.example>',
    GATEPOST_PROVIDERS: JSON.stringify(['Work', 'Strict'].map((name) => ({ id: name.toLowerCase(), type: 'oidc', name, issuer, client_id: 'site', client_secret: 'a-secret-of-some-length' }))) };
  const config = dir('gatepost.yaml');
  writeFileSync(config, /^```yaml\n([^]*?)\n```/m.exec(readFileSync(`${root}docs/nextauth.md`, 'utf8'))[1]);

  const adopt = (...args) => run(gatepost, ['--config', config, 'adopt', ...args, '--apply'], env);
  await adopt('--views-only');
  v3 = await startV3(port + 7, role, false);
  at(v3);
  old.child.kill();
  let over = false;
  const meanwhile = Promise.all(Array.from({ length: 8 }, async () => {
    for (let after = 0; after < 10; after += over) {
      const b = ada.again(), { user } = await b.session();
      assert.ok(user?.email === 'ada@example.net' && b.cookies['next-auth.session-token'], 'was signed out');
    }
  }));
  await setTimeout(200);
  assert.match(await Promise.race([adopt(), meanwhile]), /Done, in one transaction/);
  over = true;
  await meanwhile;
  await run(gatepost, ['--config', config, 'check'], env);
  await start(gatepost, ['--config', config, 'serve'], { env, ready: /"serving"/ });
  ours = { at: port + 8 };

  assert.equal((await same(ada)).user.email, 'ada@example.net');
  assert.equal((await same(bob)).user.email, 'bob@example.org');
});

const both = () => [['v3', v3, 'Gatepost', ours], ['Gatepost', ours, 'v3', v3]];

test('who signs in at one is known at the other', async () => {
  for (const [name, first] of both()) {
    at(first);
    const byLink = await byMail(`mary.${first.at}@example.org`), byWork = await byProvider(`eve${first.at}`);
    assert.equal((await same(byLink)).user.email, `mary.${first.at}@example.org`, name);
    assert.equal((await same(byWork)).user.email, `eve${first.at}@example.net`, name);
    for (const [, again] of both()) { // and is the same person
      at(again);
      await byMail(`mary.${first.at}@example.org`);
      await byProvider(`eve${first.at}`);
    }
    const people = await sql('SELECT email, (SELECT count(*)::int FROM sessions s WHERE s.user_id = u.id) AS sessions FROM users u WHERE email LIKE $1 ORDER BY email', `%${first.at}@%`);
    assert.deepEqual(people, [{ email: `eve${first.at}@example.net`, sessions: 3 }, { email: `mary.${first.at}@example.org`, sessions: 3 }], name);
  }
});

// targets are addresses that a site of this origin may want to return to.
const targets = ['/', '/x?a=1&b=<2>#c', '/a/b/', '/a//b', '/x%25y', '/x?next=%2Fa%26b', '/x?q=a+b&r=%20', "/it's(1)!*~", '/a;b=c,d@e:f', '/x?a[]=1&{b}|^`', '/x#/route?y=1', '/x#a#{"b":[1]}|c', '/a%20b', '/x?y=?z', '/x?%', 'http://other.test/'];

// shape is what a row has, without what it alone has.
const shape = (row) => Object.fromEntries(Object.entries(row).map(([column, v]) => {
  if (v instanceof Date || typeof v === 'number') return [column, v.constructor.name];
  return [column, typeof v === 'string' ? v.replace(/^[0-9a-f]{64}$/, 'hex').replace(/^[\w-]{43}$/, 'token').replace(/\d{5}/g, 'N') : v];
}));

test('the rows that either writes look alike', async () => {
  const written = async (server) => {
    const rows = {};
    for (const table of ['users', 'accounts', 'sessions']) {
      rows[table] = (await sql(`SELECT t.* FROM ${table} t JOIN users u ON u.id = t.${table === 'users' ? 'id' : 'user_id'} WHERE u.email LIKE $1 ORDER BY u.email, t.id LIMIT 2`, `%${server.at}@%`)).map(shape);
    }
    return rows;
  };
  const theirs = await written(v3), here = await written(ours);
  for (const rows of [theirs, here]) delete rows.users[0].email_verified; // v3 does not mark what a provider has proven
  assert.deepEqual(here, theirs);
});

test('the small answers are the same', async () => {
  const csrfToken = '0'.repeat(64), hash = createHash('sha256').update(csrfToken + secret).digest('hex');
  const asked = async (server) => {
    const b = visitor(origin, { 'next-auth.csrf-token': `${csrfToken}%7C${hash}` }), out = {};
    at(server);
    for (const path of ['csrf', 'session', ...['', '/AccessDenied', '/verification', '/OAuthCallback', '/EmailSignin', '/none', '/AccessDenied?error=Configuration', '?error=OAuthSignin'].map((e) => `error${e}`)]) {
      const r = await b.again().ask(`/api/auth/${path}`), body = await r.text();
      out[path] = [r.status, r.headers.get('location'), body.startsWith('{') && body];
    }
    const { work, email } = await (await b.ask('/api/auth/providers')).json();
    out.providers = JSON.stringify([work, email]);
    out.head = (await fetch(`${origin}/api/auth/session`, { method: 'HEAD' })).status;
    for (const callbackUrl of targets) {
      const r = await b.again().ask('/api/auth/signout', { csrfToken, callbackUrl, json: 'true' });
      out[callbackUrl] = [r.status, await r.text()];
    }
    return out;
  };
  assert.deepEqual(await asked(ours), await asked(v3));
});

test('a form of one is taken by the other', async () => {
  for (const [name, first, , second] of both()) {
    const b = visitor(origin);
    at(first);
    const csrfToken = await b.csrf();
    at(second);
    assert.equal(await b.csrf(), csrfToken, name);
    const out = await b.ask('/api/auth/signout', { csrfToken, callbackUrl: '/bye', json: 'true' });
    assert.deepEqual([out.status, await out.json()], [200, { url: `${origin}/bye` }], name);
  }
});

test('who signs out at one is signed out at the other at once', async () => {
  for (const [name, first, , second] of both()) {
    at(first);
    const b = await byMail(`leo.${first.at}@example.org`), other = b.again();
    await same(b);
    at(first);
    await b.post('/api/auth/signout', {});
    assert.deepEqual(await b.session(), {}, name);
    at(second);
    assert.deepEqual(await other.session(), {}, name);
  }
});

test('a link that one mailed opens at the other', async () => {
  for (const [name, first, , second] of both()) {
    const email = `zoe.${first.at}@example.org`, b = visitor(origin);
    at(first);
    const link = await askForLink(email, b);
    at(second);
    const done = await open(link, b);
    assert.equal(done.headers.get('location'), `${origin}/in`, name);
    assert.equal((await same(b)).user.email, email, name);
    for (const server of [first, second]) { // once
      at(server);
      const again = visitor(origin);
      await open(link, again);
      assert.deepEqual(await again.session(), {}, name);
    }
  }
});

test('who has an address beyond ASCII is one person at both', async () => {
  const typed = (name) => `${name}@bücher.example`, mailbox = (name) => `${name}@xn--bcher-kva.example`;
  const rows = (name) => sql('SELECT email, (SELECT count(*)::int FROM sessions s WHERE s.user_id = u.id) AS sessions FROM users u WHERE email ILIKE $1', `${name}@%`);
  for (const [name, first, , second] of both()) {
    const who = `idn${first.at}`;
    at(first);
    await byMail(typed(who), visitor(origin), mailbox(who)); // makes the user
    at(second);
    await byMail(typed(who), visitor(origin), mailbox(who));
    at(ours);
    await byMail(mailbox(who)); // written otherwise
    for (const [asked, opened] of [[first, second], [second, first]]) { // a link of one at the other
      const b = visitor(origin);
      at(asked);
      const link = await askForLink(typed(who), b, mailbox(who));
      at(opened);
      await open(link, b);
      assert.equal((await same(b)).user.email, typed(who), name);
    }
    assert.deepEqual(await rows(who), [{ email: typed(who), sessions: 5 }], name);
  }

  at(v3);
  await byProvider('Ute');
  at(ours);
  await byProvider('Ute');
  await byMail(typed('ute'), visitor(origin), mailbox('ute'));
  at(v3);
  await byProvider('Ute');
  assert.deepEqual(await rows('ute'), [{ email: typed('ute'), sessions: 4 }]);
});

test('whose address another program wrote with capitals is one person at both', async () => {
  at(v3);
  await byProvider('Max');
  const written = () => sql(`SELECT email, (SELECT count(*)::int FROM sessions s WHERE s.user_id = u.id) AS sessions FROM users u WHERE lower(email) = 'max@example.net'`);
  assert.deepEqual(await written(), [{ email: 'max@example.net', sessions: 1 }]); // v3 itself writes lower case
  await sql(`UPDATE users SET email = 'Max@Example.net' WHERE email = 'max@example.net'`);
  for (const [, server] of both()) {
    at(server);
    await byProvider('Max');
  }
  at(ours);
  const strict = visitor(origin), refused = await strict.ask(await begin(strict, 'Max', 'strict')); // another account with that address
  assert.match(refused.headers.get('location'), /error=OAuthAccountNotLinked/);
  const b = visitor(origin), link = await askForLink('Max@Example.net', b, 'max@example.net');
  at(v3);
  await open(link, b);
  assert.equal((await same(b)).user.email, 'Max@Example.net');
  assert.deepEqual(await written(), [{ email: 'Max@Example.net', sessions: 4 }]);
});

test('an address with dots in a row is one person at both', async () => {
  for (const [name, first, , second] of both()) {
    const email = `dots..${first.at}@docomo.example`;
    for (const server of [first, second]) {
      at(server);
      await byMail(email, visitor(origin), server === ours ? `"dots..${first.at}"@docomo.example` : email);
    }
    assert.deepEqual(await sql('SELECT email FROM users WHERE email = $1', email), [{ email }], name);
  }
});

test('who signed in with a provider at v3 keeps it by a tick at their first link here', async () => {
  for (const [who, keep] of [['gus', true], ['mallory', false]]) {
    at(v3);
    const before = await byProvider(who), email = `${who}@example.net`;
    at(ours);
    const link = await askForLink(email);
    const b = visitor(origin), done = await open(link, b, keep);
    assert.equal(done.headers.get('location'), origin);
    assert.equal((await same(b)).user.email, email);
    assert.deepEqual(await before.session(), {});
    const [{ accounts }] = await sql('SELECT (SELECT count(*)::int FROM accounts a WHERE a.user_id = u.id) AS accounts FROM users u WHERE email = $1', email);
    assert.equal(accounts, keep ? 1 : 0);
    for (const [, server] of both()) {
      at(server);
      const again = visitor(origin);
      await again.ask(await begin(again, who));
      assert.equal((await again.session()).user?.email, keep ? email : undefined);
    }
  }
});

test('a sign-in that began at v3 ends at Gatepost; the other way round it takes one more click', async () => {
  for (const [provider, who] of [['work', 'kim'], ['strict', 'uma']]) {
    const b = visitor(origin);
    at(v3);
    const callback = await begin(b, who, provider);
    assert.equal('next-auth.pkce.code_verifier' in b.cookies, provider === 'strict');
    at(ours);
    assert.equal((await b.ask(callback)).headers.get('location'), `${origin}/in`, provider);
    assert.equal((await same(b)).user.email, `${who}@example.net`);
  }

  const c = visitor(origin);
  at(ours);
  const late = await begin(c, 'lou');
  assert.match(new URL(late).searchParams.get('state'), byGatepost());
  at(v3);
  assert.equal((await c.ask(late)).headers.get('location'), `${origin}/api/auth/error?error=OAuthCallback`);
  assert.equal((await c.ask('/api/auth/error?error=OAuthCallback')).headers.get('location'), `${origin}/api/auth/signin?error=OAuthCallback`);
  assert.equal((await same(await byProvider('lou', c))).user.email, 'lou@example.net');
});

const nginx = () => readFileSync(`${root}docs/nextauth.md`, 'utf8');
const byGatepost = () => new RegExp(/^ +"~(\S+)" gatepost;$/m.exec(nginx())[1]);

test('where answers go to whoever asked, the traffic moves and nobody clicks again', async () => {
  const answers = new RegExp(/^location ~ (\S+) \{$/m.exec(nginx())[1]);
  whoAsked = (url) => {
    const { pathname, searchParams } = new URL(url, origin);
    return answers.test(pathname) ? (byGatepost().test(searchParams.get('state')) ? ours : v3).at : null;
  };
  try {
    for (const [name, first, , second] of both()) {
      const b = visitor(origin), who = `max${first.at}`;
      at(first);
      const callback = await begin(b, who);
      at(second);
      assert.equal((await b.ask(callback)).headers.get('location'), `${origin}/in`, name);
      assert.equal((await same(b)).user.email, `${who}@example.net`, name);
      assert.equal((await same(await byMail(`kai.${first.at}@example.org`))).user.email, `kai.${first.at}@example.org`);
    }
  } finally {
    whoAsked = () => null;
  }
});

test('pages that ask on the server find whoever answers', async () => {
  at(v3);
  const b = await byMail('pia@example.org'), req = { headers: { cookie: `next-auth.session-token=${b.cookies['next-auth.session-token']}` } };
  process.env.NEXTAUTH_URL = origin;
  process.env.NEXTAUTH_URL_INTERNAL = `http://127.0.0.1:${ours.at}`;
  const { default: client } = await import('next-auth/client');
  const session = await client.getSession({ req });
  assert.equal(session.user.email, 'pia@example.org');
  assert.deepEqual(session, await b.session());
});

test('the client in a browser notices nothing', async () => {
  browser = await launch();
  const context = await browser.newContext();
  const page = await context.newPage();
  const complaints = [];
  page.on('console', (m) => { if (m.type() === 'error' && m.location().url.startsWith(origin)) complaints.push(m.text()); });
  page.on('pageerror', (e) => complaints.push(String(e)));
  const who = (text) => page.locator('#who', { hasText: text }).waitFor();
  const answerAs = async (name) => {
    await page.locator('[name=login]').fill(name);
    await page.locator('[name=password]').fill('anything');
    await page.locator('button[type=submit]').click();
    await page.locator('button[type=submit]').click(); // consent
  };
  at(v3);
  await page.goto(`${origin}/there`);
  const providers = await page.evaluate(() => client.getProviders());
  await page.getByRole('button', { name: 'Sign in' }).click();
  await answerAs('rosa');
  await who('rosa@example.net');
  const session = await page.evaluate(() => client.getSession());
  at(ours);
  assert.deepEqual(await page.evaluate(() => client.getProviders()), providers);
  assert.deepEqual(await page.evaluate(() => client.getSession()), session);
  await page.reload();
  await who('rosa@example.net');
  assert.equal(page.url(), `${origin}/there`);
  await page.getByRole('button', { name: 'Sign out' }).click();
  await who('nobody');
  at(v3);
  await page.reload();
  await who('nobody');

  at(ours);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await who('rosa@example.net'); // the provider knows rosa by now
  at(v3);
  await page.reload();
  await who('rosa@example.net');
  assert.equal(page.url(), `${origin}/there`);
  at(ours);
  const asked = await page.evaluate(() => client.signIn('email', { email: 'ida@example.org', redirect: false, callbackUrl: '/inside' }));
  assert.deepEqual([asked.ok, asked.url], [true, `${origin}/api/auth/verify-request?provider=email&type=email`]);
  await mail.next();
  await page.getByRole('button', { name: 'Sign out' }).click();
  await who('nobody');
  assert.deepEqual(complaints, []);
});

test('1,000 people stay signed in while the traffic moves, and both extend their sessions', async () => {
  const n = 1000, workers = 12;
  // In each of four phases a fifth of the sessions comes due for an extension;
  // the last fifth is asked for all the while, also as the traffic moves. Every
  // eleventh session has been extended for 200 days already.
  const people = await sql(`
    WITH u AS (INSERT INTO users (name, email, email_verified) SELECT 'Person ' || i, 'person' || i || '@example.com', now() FROM generate_series(1, $1::int) i RETURNING id, email)
    INSERT INTO sessions (user_id, expires, session_token, access_token, created_at)
    SELECT id, now() + interval '29 days 12 hours', encode(sha256(convert_to('session ' || email, 'UTF8')), 'hex'), encode(sha256(convert_to('access ' || email, 'UTF8')), 'hex'),
      now() - CASE id % 11 WHEN 0 THEN interval '200 days' ELSE interval '12 hours' END
    FROM u ORDER BY id RETURNING id, session_token, access_token`, n);
  const asks = people.map((p) => visitor(origin, { 'next-auth.session-token': p.session_token }));
  const wrong = [];
  let asked = 0;
  const ask = async (i, phase) => {
    const r = await asks[i].ask('/api/auth/session'), body = await r.text();
    asked++;
    const { user, accessToken, expires } = r.status === 200 ? JSON.parse(body) : {};
    const extended = new Date(expires) - Date.now() > 29.9 * day;
    if (user?.email !== `person${i + 1}@example.com` || accessToken !== people[i].access_token || extended !== (i % 5 <= phase) || asks[i].cookies['next-auth.session-token'] !== people[i].session_token) {
      wrong.push({ person: i + 1, phase, status: r.status, body });
    }
  };
  let over = false;
  const meanwhile = Promise.all(Array.from({ length: 4 }, async (_, worker) => {
    for (let i = worker; !over; i += 4) await ask(4 + 5 * (i % (n / 5)), 3);
  }));
  try {
    for (const [phase, server] of [v3, ours, v3, ours].entries()) {
      const everybody = people.map((_, i) => i), due = everybody.filter((i) => i % 5 === phase);
      await sql(`UPDATE sessions SET expires = now() + interval '28 days' WHERE id = ANY($1)`, due.map((i) => people[i].id));
      at(server);
      const queue = server === v3 ? due : everybody; // v3 takes its time
      await Promise.all(Array.from({ length: workers }, async () => {
        while (queue.length > 0) await ask(queue.pop(), phase);
      }));
    }
  } finally {
    over = true;
    await meanwhile;
  }
  assert.deepEqual(wrong.slice(0, 5), [], `${wrong.length} of ${asked} answers are wrong`);
});

test('when v3 is gone sessions are remembered, and a sign-out still holds everywhere', async () => {
  at(v3);
  const b = await byProvider('eva'), before = await b.session();
  v3.child.kill();
  const config = dir('gatepost.yaml'), gone = { ...env, GATEPOST_NEXTAUTH_SHARED: 'false', GATEPOST_LISTEN: `127.0.0.1:${port + 9}`, GATEPOST_ADMIN_LISTEN: `127.0.0.1:${port + 6}` };
  await run(gatepost, ['--config', config, 'adopt', '--drop-views', '--apply'], gone);
  assert.match(await run(gatepost, ['--config', config, 'check'], gone), /^ok +notifications$/m);
  await start(gatepost, ['--config', config, 'serve'], { env: gone, ready: /"serving".*"remembers_sessions":true/ });
  const again = { at: port + 9 }, metric = async (name) => Number(new RegExp(`^${name} (\\d+)`, 'm').exec(await (await fetch(`http://127.0.0.1:${port + 6}/metrics`)).text())[1]);
  while (await metric('gatepost_cache_trusted') === 0) await setTimeout(20);
  at(again);
  assert.deepEqual(await b.session(), before);
  const misses = await metric('gatepost_cache_misses_total');
  for (let i = 0; i < 5; i++) assert.deepEqual(await b.session(), before);
  assert.equal(await metric('gatepost_cache_misses_total'), misses);

  at(ours); // another replica
  const other = b.again();
  await b.post('/api/auth/signout', {});
  at(again);
  for (let i = 0; 'user' in await other.again().session(); i++) assert.ok(i < 50, 'is still signed in');
});
