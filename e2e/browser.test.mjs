// A person with a browser: both ways to sign in, every page they meet checked by
// axe, and an independent OpenID provider against the product's own binary.
import { after, before, test } from 'node:test';
import assert from 'node:assert/strict';
import http from 'node:http';
import net from 'node:net';
import Provider from 'oidc-provider';
import { build, dir, freePorts, launch, run, start, stopAll } from './world.mjs';
import { look } from './look.mjs';

let browser, port, database;

before(async () => {
  port = await freePorts(4);
  const dev = build('gatepost-dev');
  const { match } = await start(dev, ['-port', String(port), '-dir', dir('dev')], { ready: /Database\s+(\S+)/ });
  database = match[1];
  browser = await launch();
});

after(async () => {
  await browser?.close();
  await stopAll();
});

const at = (n, path = '/') => `http://localhost:${port + n}${path}`;

test('a person signs in with a provider, sees who they are, and signs out', async () => {
  const page = await (await browser.newContext()).newPage();
  await page.goto(at(1));
  await page.getByRole('link', { name: 'Sign in' }).click();
  await look(page, 'sign-in');
  await page.getByRole('button', { name: 'Sign in with GitHub' }).click();
  await look(page, 'development-provider');
  await page.getByRole('button', { name: 'Ada Lovelace' }).click();
  await page.getByRole('heading', { name: 'Hello, Ada Lovelace' }).waitFor();
  await page.goto(at(0, '/auth/session'));
  assert.equal(JSON.parse(await page.textContent('body')).user.email, 'ada@example.org');
  await page.goto(at(0, '/auth/account'));
  await look(page, 'account');
  await page.getByRole('button', { name: 'Sign out', exact: true }).click();
  await look(page, 'signed-out');
  await page.goto(at(1));
  await page.getByText('You are not signed in').waitFor();
});

test('a person signs in by the link in their mailbox', async () => {
  const page = await (await browser.newContext()).newPage();
  await page.goto(at(1));
  await page.getByRole('link', { name: 'Sign in' }).click();
  await page.getByLabel('Email address').fill('Mary@Example.org');
  await page.getByRole('button', { name: 'Email me a sign-in link' }).click();
  await look(page, 'check-mail');
  await page.goto(at(2));
  await look(page, 'mailbox');
  await page.getByRole('link', { name: /Sign in to/ }).first().click();
  await look(page, 'message');
  const link = await page.getByRole('link', { name: /callback\/email/ }).getAttribute('href');
  const other = await (await browser.newContext()).newPage();
  await other.goto(link);
  await look(other, 'confirm-link-elsewhere');
  await page.goto(link);
  await look(page, 'confirm-link');
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByRole('heading', { name: 'Hello, mary@example.org' }).waitFor();
  await other.getByRole('button', { name: 'Sign in' }).click();
  await other.getByText('no longer valid').waitFor();
  await look(other, 'link-used');
});

test('a person types the code, and Apple posts its answer', async () => {
  const page = await (await browser.newContext()).newPage();
  await page.goto(at(0, '/auth/signin'));
  await page.getByLabel('Email address').fill('joan@example.org');
  await page.getByRole('button', { name: 'Email me a sign-in link' }).click();
  await page.getByLabel('Six-digit code').fill('000 000');
  await page.getByRole('button', { name: 'Sign in' }).click();
  await look(page, 'wrong-code');
  const mail = await (await fetch(at(2, '/latest.json?to=joan@example.org'))).json();
  await page.getByLabel('Six-digit code').fill(mail.code);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByRole('heading', { name: 'joan@example.org' }).waitFor();
  const apple = await (await browser.newContext()).newPage();
  await apple.goto(at(0, '/auth/signin'));
  await apple.getByRole('button', { name: 'Sign in with Apple' }).click();
  await apple.getByRole('button', { name: 'Grace Hopper' }).click();
  await apple.getByRole('button', { name: 'Continue' }).click();
  await apple.getByRole('heading', { name: 'Grace Hopper' }).waitFor();
});

test('a person waits for a mail, in a browser without scripts that asks nobody else', async () => {
  const context = await browser.newContext({ javaScriptEnabled: false, reducedMotion: 'reduce' });
  const page = await context.newPage();
  const asked = new Set();
  context.on('request', (r) => asked.add(new URL(r.url()).host));
  await page.goto(at(0, '/auth/signin?callbackUrl=' + encodeURIComponent(at(1, '/'))));
  await page.getByLabel('Email address').fill('kate@gmail.com');
  await page.keyboard.press('Enter');
  assert.equal(await page.getByRole('link', { name: 'Open Gmail' }).getAttribute('target'), '_blank');
  await page.getByText('ask again in 30 seconds').waitFor();
  await page.getByRole('button', { name: 'Send it again' }).press('Enter'); // not with a mouse, which waits
  await page.getByText('give the mail a moment').waitFor();
  await page.getByRole('link', { name: 'Wrong address?' }).click();
  assert.equal(await page.getByLabel('Email address').inputValue(), 'kate@gmail.com');
  await page.getByRole('link', { name: 'Enter the code' }).click();
  const { links } = await (await fetch(at(2, '/latest.json?to=kate@gmail.com'))).json();
  const tab = await context.newPage();
  await tab.goto(links[0]);
  await tab.getByText('You are about to sign in to localhost:').waitFor();
  await tab.getByRole('button', { name: 'Sign in' }).click();
  await tab.getByRole('heading', { name: 'Hello, kate@gmail.com' }).waitFor();
  await page.reload();
  await page.getByRole('heading', { name: 'Hello, kate@gmail.com' }).waitFor();
  assert.deepEqual([...asked].sort(), [`localhost:${port}`, `localhost:${port + 1}`]);
});

test('a person inside another app is told about Google, and one who is signed in who they are', async () => {
  const app = await (await browser.newContext({ userAgent: 'Mozilla/5.0 (Linux; Android 15; Pixel 9; wv) AppleWebKit/537.36 Chrome/140.0 Mobile Safari/537.36' })).newPage();
  await app.goto(at(0, '/auth/signin'));
  await app.getByText('Google does not allow sign-in inside other apps').waitFor();
  assert.ok(await app.getByRole('button', { name: 'Sign in with Google' }).isDisabled());
  await app.getByRole('button', { name: 'Sign in with GitHub' }).click();
  await app.getByRole('button', { name: 'Ada Lovelace' }).click();
  await app.goto(at(0, '/auth/signin'));
  await app.getByText('You are signed in as').waitFor();
  await look(app, 'sign-in-signed-in');
  await app.goto(at(0, '/auth/account'));
  await app.getByText('Add another way to sign in').click();
  await app.getByRole('button', { name: 'Link GitLab' }).click();
  await app.getByRole('button', { name: 'Ada Lovelace' }).click();
  await app.getByRole('status').getByText('Linked.').waitFor();
  await look(app, 'account-linked');
  await app.getByRole('button', { name: 'Unlink GitLab' }).click();
  await app.getByRole('status').getByText('Unlinked.').waitFor();
});

test('a keyboard reaches everything and shows where it is', async () => {
  const page = await (await browser.newContext({ locale: 'de-DE', reducedMotion: 'reduce' })).newPage();
  await page.goto(at(0, '/auth/signin'));
  const reached = [];
  for (let i = 0; i < 9; i++) {
    await page.keyboard.press('Tab');
    reached.push(await page.evaluate(() => {
      const e = document.activeElement, style = getComputedStyle(e);
      return [e.textContent.trim() || e.name, style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2];
    }));
  }
  assert.deepEqual(reached.map(([name]) => name), ['GitHub', 'Google', 'Apple', 'Microsoft Entra ID', 'GitLab', 'Discord'].map((n) => `Mit ${n} anmelden`).concat('Weitere Möglichkeiten', 'email', 'Anmeldelink per E-Mail senden'));
  assert.ok(reached.every(([, visible]) => visible), JSON.stringify(reached));
});

test('the product signs in with an independent OpenID provider', async () => {
  const gate = await freePorts(3);
  const issuer = `http://127.0.0.1:${gate + 1}`;
  const client = { client_id: 'gatepost', client_secret: 'a-secret-of-some-length', redirect_uris: [`http://127.0.0.1:${gate}/auth/callback/work`] };
  const idp = new Provider(issuer, {
    clients: [client],
    claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['name', 'picture'] },
    findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id, name: 'Rosa Lee', email: `${id}@example.net`, email_verified: true }) }),
    cookies: { keys: ['a key of the test'] },
    pkce: { required: () => true },
  });
  const server = idp.listen(gate + 1, '127.0.0.1');
  try {
    const env = {
      GATEPOST_PUBLIC_URL: `http://127.0.0.1:${gate}`, GATEPOST_DEV: 'true', GATEPOST_LISTEN: `127.0.0.1:${gate}`, GATEPOST_ADMIN_LISTEN: `127.0.0.1:${gate + 2}`,
      GATEPOST_DRAIN: '0s', GATEPOST_DATABASE_URL: database, GATEPOST_DATABASE_SCHEMA: 'product', GATEPOST_KEYS: 'k'.repeat(40),
      GATEPOST_PROVIDERS: JSON.stringify([{ id: 'work', type: 'oidc', name: 'Work', issuer, client_id: client.client_id, client_secret: client.client_secret }]),
    };
    const gatepost = build('gatepost');
    await run(gatepost, ['migrate'], env);
    const checked = await run(gatepost, ['check'], env);
    assert.match(checked, /ok {4}work signing keys/);
    assert.match(checked, new RegExp(client.redirect_uris[0]));
    await start(gatepost, ['serve'], { env, ready: /"serving"/ });
    const page = await (await browser.newContext()).newPage();
    await page.goto(`http://127.0.0.1:${gate}/auth/signin?callbackUrl=/auth/account`);
    await page.getByRole('button', { name: 'Sign in with Work' }).click();
    await page.locator('[name=login]').fill('rosa');
    await page.locator('[name=password]').fill('anything');
    await page.locator('button[type=submit]').click();
    await page.locator('button[type=submit]').click(); // consent
    await page.getByRole('heading', { name: 'Rosa Lee' }).waitFor();
    await page.goto(`http://127.0.0.1:${gate}/auth/session`);
    assert.equal(JSON.parse(await page.textContent('body')).user.email, 'rosa@example.net');
    assert.equal((await fetch(`http://127.0.0.1:${gate + 2}/readyz`)).status, 200);
  } finally {
    server.close();
    server.closeAllConnections();
  }
});

// serve answers with what answer(url) gives: a Location, JSON, or a page.
function serve(port, answer) {
  const server = http.createServer((req, res) => {
    const got = answer(new URL(req.url, `http://127.0.0.1:${port}`));
    if (got.to) return res.writeHead(302, { location: got.to }).end();
    res.setHeader('content-type', got.json ? 'application/json' : 'text/html');
    res.end(got.json ? JSON.stringify(got.json) : `<!doctype html><title>x</title><h1>${got.page}</h1>`);
  });
  server.listen(port, '127.0.0.1');
  return server;
}

// mailbox takes mail and keeps the last.
function mailbox(port) {
  const box = { last: '' };
  box.server = net.createServer((socket) => {
    let text = '', inData = false;
    socket.write('220 here\r\n');
    socket.on('data', (chunk) => {
      text += chunk;
      if (inData) {
        if (!text.endsWith('\r\n.\r\n')) return;
        box.last = text; inData = false; text = '';
        return socket.write('250 taken\r\n');
      }
      if (!text.endsWith('\r\n')) return;
      inData = /^DATA/i.test(text);
      socket.write(inData ? '354 go on\r\n' : /^QUIT/i.test(text) ? '221 bye\r\n' : '250 well\r\n');
      text = '';
    });
    socket.on('error', () => {});
  }).listen(port, '127.0.0.1');
  return box;
}

test('forms lead over any number of other origins, to providers and to applications', async () => {
  const first = await freePorts(9);
  const on = (n, path = '') => `http://127.0.0.1:${first + n}${path}`;
  // The provider asks at 2, which asks at 3; the application at 4 sends on to 5.
  const box = mailbox(first + 6);
  const servers = [
    serve(first + 1, (u) => ({ json: u.pathname === '/token' ? { access_token: 'one', token_type: 'bearer' } : { id: '7', name: 'Far Away' } })),
    serve(first + 2, (u) => ({ to: on(3, '/consent') + u.search })),
    serve(first + 3, (u) => ({ to: `${u.searchParams.get('redirect_uri')}?code=1&state=${u.searchParams.get('state')}` })),
    serve(first + 4, (u) => ({ to: on(5, u.pathname) })),
    serve(first + 5, (u) => ({ page: 'Arrived at ' + u.pathname })),
    box.server,
  ];
  try {
    const env = {
      GATEPOST_PUBLIC_URL: on(0), GATEPOST_DEV: 'true', GATEPOST_LISTEN: `127.0.0.1:${first}`, GATEPOST_ADMIN_LISTEN: `127.0.0.1:${first + 7}`,
      GATEPOST_DRAIN: '0s', GATEPOST_DATABASE_URL: database, GATEPOST_DATABASE_SCHEMA: 'origins', GATEPOST_KEYS: 'k'.repeat(40), GATEPOST_RETURN_TO: on(4),
      GATEPOST_MAIL_HOST: `127.0.0.1:${first + 6}`, GATEPOST_MAIL_TLS: 'none', GATEPOST_MAIL_FROM: 'sign-in@gatepost.example',
      GATEPOST_PROVIDERS: JSON.stringify([{ id: 'far', type: 'oauth2', name: 'Far', client_id: 'gatepost', client_secret: 'a-secret-of-some-length',
        authorization_url: on(2, '/authorize'), token_url: on(1, '/token'), userinfo_url: on(1, '/me'), override: { map: { id: 'id', name: 'name' } } }]),
    };
    const gatepost = build('gatepost');
    await run(gatepost, ['migrate'], env);
    await start(gatepost, ['serve'], { env, ready: /"serving"/ });
    const page = await (await browser.newContext()).newPage();
    const refused = [];
    page.on('console', (m) => { if (/Content Security Policy/i.test(m.text())) refused.push(m.text()); });
    const heading = (name) => page.getByRole('heading', { name }).waitFor({ timeout: 10_000 });

    await page.goto(on(0, `/auth/signin?callbackUrl=${encodeURIComponent(on(4, '/by-provider'))}`));
    await page.getByRole('button', { name: 'Sign in with Far' }).click();
    await heading('Arrived at /by-provider');
    await page.goto(on(0, '/auth/session'));
    assert.equal(JSON.parse(await page.textContent('body')).user.name, 'Far Away');

    await page.goto(on(0, `/auth/signout?callbackUrl=${encodeURIComponent(on(4, '/signed-out'))}`));
    await page.getByRole('button', { name: 'Sign out' }).click();
    await heading('Arrived at /signed-out');

    await page.goto(on(0, `/auth/signin?callbackUrl=${encodeURIComponent(on(4, '/by-code'))}`));
    await page.getByLabel('Email address').fill('ada@example.org');
    await page.getByRole('button', { name: 'Email me a sign-in link' }).click();
    await page.getByLabel('Six-digit code').waitFor();
    for (let i = 0; i < 100 && !box.last; i++) await new Promise((ok) => setTimeout(ok, 50));
    await page.getByLabel('Six-digit code').fill(/\b(\d{3} \d{3})\b/.exec(box.last)[1]);
    await page.getByRole('button', { name: 'Sign in' }).click();
    await heading('Arrived at /by-code');
    assert.deepEqual(refused, []);
  } finally {
    for (const s of servers) { s.close(); s.closeAllConnections?.(); }
  }
});
