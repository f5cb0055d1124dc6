// The contract with NextAuth v3, asked by its own client, unchanged: a site whose
// pages and /api/auth share an origin, the latter answered by Gatepost.
import { after, before, test } from 'node:test';
import assert from 'node:assert/strict';
import http from 'node:http';
import { fileURLToPath } from 'node:url';
import { buildSync } from 'esbuild';
import Provider from 'oidc-provider';
import { build, dir, freePorts, launch, mailSink, run, start, stopAll } from './world.mjs';

let browser, site, mail;
const servers = [];
const listen = (server, port) => { servers.push(server.listen(port, '127.0.0.1')); };

before(async () => {
  const port = await freePorts(9);
  const gate = port + 6;
  site = `http://localhost:${port + 4}`;
  const issuer = `http://localhost:${port + 5}`;
  const { match } = await start(build('gatepost-dev'), ['-port', String(port), '-dir', dir('nextauth')], { ready: /Database\s+(\S+)/ });
  mail = await mailSink();

  const client = { client_id: 'gatepost', client_secret: 'a-secret-of-some-length', redirect_uris: [`${site}/api/auth/callback/work`] };
  listen(new Provider(issuer, {
    clients: [client],
    claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['name'] },
    findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id, name: 'Rosa Lee', email: `${id}@example.net`, email_verified: true }) }),
    cookies: { keys: ['a key of the test'] },
  }), port + 5);

  const env = {
    GATEPOST_PUBLIC_URL: site, GATEPOST_BASE_PATH: '/api/auth', GATEPOST_DEV: 'true', GATEPOST_LISTEN: `127.0.0.1:${gate}`, GATEPOST_ADMIN_LISTEN: '',
    GATEPOST_DRAIN: '0s', GATEPOST_DATABASE_URL: match[1], GATEPOST_DATABASE_SCHEMA: 'nextauth', GATEPOST_KEYS: 'k'.repeat(40),
    GATEPOST_MAIL_HOST: `127.0.0.1:${mail.port}`, GATEPOST_MAIL_TLS: 'none', GATEPOST_MAIL_FROM: 'Site <sign-in@site.example>',
    GATEPOST_PROVIDERS: JSON.stringify([{ id: 'work', type: 'oidc', name: 'Work', issuer, client_id: client.client_id, client_secret: client.client_secret }]),
  };
  const gatepost = build('gatepost');
  await run(gatepost, ['migrate'], env);
  await start(gatepost, ['serve'], { env, ready: /"serving"/ });

  const script = buildSync({
    entryPoints: [fileURLToPath(new URL('nextauth-page.jsx', import.meta.url))], bundle: true, write: false, define: { 'process.env.NODE_ENV': '"production"', 'process.env': '{}' },
  }).outputFiles[0].text;
  listen(http.createServer((req, res) => {
    if (req.url.startsWith('/api/auth/')) {
      const onward = http.request({ port: gate, host: '127.0.0.1', method: req.method, path: req.url, headers: req.headers }, (answer) => {
        res.writeHead(answer.statusCode, answer.rawHeaders);
        answer.pipe(res);
      }).on('error', () => res.writeHead(502).end());
      return req.pipe(onward);
    }
    if (req.url === '/page.js') return res.writeHead(200, { 'Content-Type': 'text/javascript' }).end(script);
    res.writeHead(200, { 'Content-Type': 'text/html' }).end('<!doctype html><title>Site</title><div id="root"></div><script src="/page.js"></script>');
  }), port + 4);
  browser = await launch();
});

after(async () => {
  await browser?.close();
  mail?.close();
  for (const server of servers) {
    server.close();
    server.closeAllConnections();
  }
  await stopAll();
});

// open gives a page of the site in a context, and what its console complains of:
// about the site and Gatepost, not about the provider's pages.
async function open(context, path = '/') {
  const page = await context.newPage();
  const complaints = [];
  page.on('console', (m) => { if (m.type() === 'error' && m.location().url.startsWith(site)) complaints.push(m.text()); });
  page.on('pageerror', (e) => complaints.push(String(e)));
  await page.goto(site + path);
  return { page, complaints, who: (text) => page.locator('#who', { hasText: text }).waitFor() };
}

async function answerAsRosa(page) {
  await page.locator('[name=login]').fill('rosa');
  await page.locator('[name=password]').fill('anything');
  await page.locator('button[type=submit]').click();
  await page.locator('button[type=submit]').click(); // consent
}

test('what the client asks for is what it expects', async () => {
  const { page, complaints, who } = await open(await browser.newContext());
  await who('nobody');
  assert.deepEqual(await page.evaluate(() => client.getProviders()), {
    work: { id: 'work', name: 'Work', type: 'oauth', signinUrl: `${site}/api/auth/signin/work`, callbackUrl: `${site}/api/auth/callback/work` },
    email: { id: 'email', name: 'Email', type: 'email', signinUrl: `${site}/api/auth/signin/email`, callbackUrl: `${site}/api/auth/callback/email` },
  });
  assert.deepEqual(await page.evaluate(async () => Object.keys(await client.getProviders())), ['work', 'email']);
  const token = await page.evaluate(() => client.getCsrfToken());
  assert.match(token, /^[0-9a-f]{64}$/);
  assert.equal(await page.evaluate(() => client.csrfToken()), token);
  assert.equal(await page.evaluate(() => client.getSession()), null);
  assert.deepEqual(complaints, []);
});

test('signIn(provider), useSession, and signOut that reaches the other tab', async () => {
  const context = await browser.newContext();
  const one = await open(context, '/there?x=1');
  await one.who('nobody');
  await one.page.getByRole('button', { name: 'Sign in' }).click();
  await answerAsRosa(one.page);
  await one.who('rosa@example.net');
  assert.equal(one.page.url(), `${site}/there?x=1`);
  const session = await one.page.evaluate(() => client.getSession());
  assert.deepEqual([session.user.name, session.user.email, session.user.image], ['Rosa Lee', 'rosa@example.net', null]);
  assert.ok(new Date(session.expires) > Date.now() && new Date(session.expires).toISOString() === session.expires, session.expires);

  // On a server, where the client passes the cookie of its request on.
  process.env.NEXTAUTH_URL = site;
  const { default: server } = await import('next-auth/client');
  const cookie = (await context.cookies()).map((c) => `${c.name}=${c.value}`).join('; ');
  assert.equal((await server.getSession({ req: { headers: { cookie } } })).user.email, 'rosa@example.net');
  assert.equal(await server.getSession({ req: { headers: {} } }), null);

  const two = await open(context);
  await two.who('rosa@example.net');
  await one.page.getByRole('button', { name: 'Sign out' }).click();
  await one.who('nobody');
  await two.who('nobody');
  assert.deepEqual(await two.page.evaluate(() => client.signOut({ redirect: false, callbackUrl: '/bye' })), { url: `${new URL('/bye', site)}` });
  assert.deepEqual([...one.complaints, ...two.complaints], []);
});

test('signIn() and an unknown provider lead to the sign-in page', async () => {
  for (const argument of [undefined, 'nobody']) {
    const { page } = await open(await browser.newContext(), '/there');
    await page.evaluate((id) => { client.signIn(id, { callbackUrl: '/inside' }); }, argument);
    await page.getByRole('button', { name: 'Sign in with Work' }).waitFor();
    assert.equal(new URL(page.url()).pathname, '/api/auth/signin');
    await page.getByRole('button', { name: 'Sign in with Work' }).click();
    await answerAsRosa(page);
    await page.locator('#who', { hasText: 'rosa' }).waitFor();
    assert.equal(page.url(), `${site}/inside`);
  }
});

test('signIn("email"), with and without leaving the page', async () => {
  const { page, complaints, who } = await open(await browser.newContext());
  await who('nobody');
  const ask = (email) => page.evaluate((address) => client.signIn('email', { email: address, redirect: false, callbackUrl: '/inside' }), email);
  assert.deepEqual(await ask('no address'), { error: 'EmailSignin', status: 200, ok: true, url: null });
  const { error, ...asked } = await ask('Mary@example.org');
  assert.ok(!error);
  assert.deepEqual(asked, { status: 200, ok: true, url: `${site}/api/auth/verify-request?provider=email&type=email` });
  const message = await mail.next();
  assert.equal(message.to, 'mary@example.org');
  const link = /^http\S+/m.exec(message.text)[0];
  await page.goto(link);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await who('mary@example.org');
  assert.equal(page.url(), `${site}/inside`);

  const other = await open(await browser.newContext());
  await other.page.evaluate(() => { client.signIn('email', { email: 'joan@example.org' }); });
  await other.page.getByRole('heading', { name: 'Check your mail' }).waitFor();
  await other.page.getByLabel('Six-digit code').fill(/^\d{3} \d{3}$/m.exec((await mail.next()).text)[0]);
  await other.page.getByRole('button', { name: 'Sign in' }).click();
  await other.who('joan@example.org');
  assert.deepEqual([...complaints, ...other.complaints], []);
});

test('what the client reports is taken', async () => {
  const { page, who } = await open(await browser.newContext());
  await who('nobody');
  await page.route('**/api/auth/providers', (route) => route.fulfill({ status: 500, contentType: 'text/plain', body: 'no' }));
  const reported = page.waitForResponse('**/api/auth/_log');
  assert.equal(await page.evaluate(() => client.getProviders()), null);
  assert.equal((await reported).status(), 200);
});
