// Three real processes of the product and an independent OpenID provider that
// replaces a refresh token at each use, and ends them all when one comes again.
import { after, before, test } from 'node:test';
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { setTimeout } from 'node:timers/promises';
import Provider from 'oidc-provider';
import { build, dir, freePorts, launch, run, start, stopAll } from './world.mjs';

let browser, database, db;

before(async () => {
  const port = await freePorts(4);
  const { match } = await start(build('gatepost-dev'), ['-port', String(port), '-dir', dir('tokens')], { ready: /Database\s+(\S+)/ });
  database = match[1];
  const { Client } = createRequire(new URL('nextauth/', import.meta.url))('pg');
  const { searchParams } = new URL(database.replace('postgres:///', 'postgres://x/'));
  db = new Client({ host: searchParams.get('host'), user: searchParams.get('user'), database: 'postgres' });
  await db.connect();
  browser = await launch();
});

after(async () => {
  await browser?.close();
  await db?.end();
  await stopAll();
});

test('a refresh token is used once, whoever asks and wherever', async () => {
  const port = await freePorts(7);
  const replicas = [port, port + 1, port + 2].map((n) => `http://127.0.0.1:${n}/auth`);
  const issuer = `http://127.0.0.1:${port + 6}`;
  const client = { client_id: 'gatepost', client_secret: 'a-secret-of-some-length', redirect_uris: [`${replicas[0]}/callback/work`], grant_types: ['authorization_code', 'refresh_token'] };
  let life = 4; // of access tokens, in seconds
  const idp = new Provider(issuer, {
    clients: [client],
    claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['name'] },
    findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id, name: 'Rosa Lee', email: `${id}@example.net`, email_verified: true }) }),
    cookies: { keys: ['a key of the test'] },
    rotateRefreshToken: true,
    ttl: { AccessToken: () => life, RefreshToken: 3600 },
  });
  let refreshed = 0, refused = 0;
  idp.on('grant.success', (ctx) => { if (ctx.oidc.params.grant_type === 'refresh_token') refreshed++; });
  idp.on('grant.error', () => { refused++; });
  let hang; // called in place of the next refresh
  idp.use((ctx, next) => {
    if (!hang || ctx.path !== '/token') return next();
    hang();
    hang = undefined;
  });
  const server = idp.listen(port + 6, '127.0.0.1');
  try {
    const env = {
      GATEPOST_PUBLIC_URL: `http://127.0.0.1:${port}`, GATEPOST_DEV: 'true', GATEPOST_DRAIN: '0s',
      GATEPOST_DATABASE_URL: database, GATEPOST_DATABASE_SCHEMA: 'tokens', GATEPOST_KEYS: 'k'.repeat(40),
      GATEPOST_PROVIDERS: JSON.stringify([{ id: 'work', type: 'oidc', name: 'Work', issuer, client_id: client.client_id, client_secret: client.client_secret,
        tokens: true, offline: true, auth_params: { prompt: 'consent' } }]),
    };
    const gatepost = build('gatepost');
    await run(gatepost, ['migrate'], env);
    const started = await Promise.all([0, 1, 2].map((i) => start(gatepost, ['serve'], { ready: /"serving"/,
      env: { ...env, GATEPOST_LISTEN: `127.0.0.1:${port + i}`, GATEPOST_ADMIN_LISTEN: `127.0.0.1:${port + 3 + i}` } })));

    const context = await browser.newContext();
    const page = await context.newPage();
    await page.goto(`${replicas[0]}/signin?callbackUrl=/auth/account`);
    await page.getByRole('button', { name: 'Sign in with Work' }).click();
    await page.locator('[name=login]').fill('rosa');
    await page.locator('[name=password]').fill('anything');
    await page.locator('button[type=submit]').click();
    await page.locator('button[type=submit]').click(); // consent
    await page.getByRole('heading', { name: 'Rosa Lee' }).waitFor();

    // The application has a page under the same origin, and one under another.
    await page.route('**/app', (route) => route.fulfill({ contentType: 'text/html', body: 'an application' }));
    await page.goto(`http://127.0.0.1:${port}/app`);
    const csrfToken = await page.evaluate(async () => (await (await fetch('/auth/csrf')).json()).csrfToken);
    const cookie = (await context.cookies()).map((c) => `${c.name}=${c.value}`).join('; ');
    const token = async (base) => {
      const answer = await fetch(`${base}/token/work`, { method: 'POST', headers: { cookie }, body: new URLSearchParams({ csrfToken }) });
      return { status: answer.status, ...(await answer.json()) };
    };
    const expire = () => db.query('UPDATE tokens.accounts SET access_token_expires = now()');
    await setTimeout(800 * life); // in the last quarter it is refreshed
    life = 3600;
    const answers = await Promise.all(replicas.flatMap((base) => [...Array(200)].map(() => token(base))));
    const tokens = new Set(answers.map((a) => a.accessToken ?? `${a.status} ${a.reason}`));
    assert.equal(tokens.size, 1, [...tokens].join(' '));
    assert.deepEqual([refreshed, refused], [1, 0]);
    const me = await fetch(`${issuer}/me`, { headers: { authorization: `${answers[0].tokenType} ${[...tokens][0]}` } });
    assert.equal((await me.json()).sub, 'rosa');

    // A replica is killed while it asks: the others go on when its lease ends.
    await expire();
    hang = () => started[2].child.kill('SIGKILL');
    await assert.rejects(token(replicas[2]));
    const killed = Date.now();
    let next;
    do next = await Promise.all(replicas.slice(0, 2).map(token)); while (next.some((a) => a.status === 502) && Date.now() - killed < 60_000);
    assert.ok(next[0].accessToken && next[0].accessToken === next[1].accessToken && next[0].accessToken !== answers[0].accessToken, JSON.stringify(next.map((a) => a.reason)));
    assert.deepEqual([refreshed, refused], [2, 0]);

    const ask = (base) => page.evaluate(async ([base, csrfToken]) => {
      const answer = await fetch(`${base}/token/work`, { method: 'POST', body: new URLSearchParams({ csrfToken }), credentials: 'include' }).catch((err) => err);
      return answer.status ?? answer.name;
    }, [base, csrfToken]);
    assert.equal(await ask(replicas[0]), 200);
    await page.goto(`http://localhost:${port}/app`);
    assert.equal(await ask(replicas[0]), 'TypeError');

    // The provider ends what it granted: the person is asked to sign in again.
    const { accessToken } = await token(replicas[1]);
    const found = await idp.AccessToken.find(accessToken);
    await (await idp.Grant.find(found.grantId)).destroy();
    await expire();
    for (const base of replicas.slice(0, 2)) {
      const over = await token(base);
      assert.deepEqual([over.status, over.reason, over.url], [403, 'sign_in_again', `${replicas[0]}/signin/work`]);
    }
    assert.equal(refused, 1);
  } finally {
    server.close();
    server.closeAllConnections();
  }
});
