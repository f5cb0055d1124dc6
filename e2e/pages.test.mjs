// Every page in every state that it can be in, also those that a person seldom
// reaches, as Go renders them: in English and, from right to left, in Arabic; in
// the other languages, whether their words fit.
import { after, before, test } from 'node:test';
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { dir, launch, root, stopAll } from './world.mjs';
import { fits, look } from './look.mjs';

const types = { html: 'text/html; charset=utf-8', css: 'text/css', svg: 'image/svg+xml' };
const pages = dir('pages');
mkdirSync(pages);
execFileSync('go', ['test', './web', '-count=1', '-run', '^TestPages$', '-args', '-pages', pages], { cwd: root });
let browser, server;

before(async () => {
  browser = await launch();
  server = createServer((req, res) => {
    const path = new URL(req.url, 'http://x').pathname;
    const file = path.startsWith('/auth/static/') ? join(root, 'web', path.slice(5)) : join(pages, path);
    try {
      const kind = file.split('.').pop();
      const body = readFileSync(file);
      res.setHeader('Content-Type', types[kind]);
      // A page that goes on by itself could not be looked at.
      res.end(kind === 'html' ? body.toString().replace(/<meta http-equiv="refresh"[^>]*>/, '') : body);
    } catch {
      res.statusCode = 404;
      res.end();
    }
  });
  await new Promise((ok) => server.listen(0, '127.0.0.1', ok));
});

after(async () => {
  await browser?.close();
  server?.close();
  await stopAll();
});

async function visit(names, check) {
  assert.ok(names.length > 15, `${names.length} pages`);
  const page = await (await browser.newContext()).newPage();
  for (const name of names) {
    await page.goto(`http://127.0.0.1:${server.address().port}/${name}`);
    await page.locator('details').evaluateAll((all) => all.forEach((one) => { one.open = true; }));
    await check(page, `state-${name.replace('.html', '')}`);
  }
}

const looked = ['en-', 'ar-'];
for (const language of looked) {
  test(`every state of every page in ${language}`, () => visit(readdirSync(pages).filter((name) => name.startsWith(language)), look));
}
test('every state of every page in the other languages', () => visit(readdirSync(pages).filter((name) => !looked.some((one) => name.startsWith(one))), fits));
