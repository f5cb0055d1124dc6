// Every provider of the catalogue on the sign-in page: the folded list with the
// keyboard and through axe, and each logo where it belongs.
import { after, before, test } from 'node:test';
import assert from 'node:assert/strict';
import { build, launch, run, stopAll } from './world.mjs';
import { everyProvider, mistakes, spread } from './logos.mjs';
import { look } from './look.mjs';

let browser, page;

before(async () => {
  browser = await launch();
  page = await everyProvider(browser);
});

after(async () => {
  await browser?.close();
  await stopAll();
});

test('the keyboard opens the folded list and goes on into it', async () => {
  const more = page.locator('summary');
  assert.equal(await page.locator('button:has(img):visible').count(), 6);
  await more.focus();
  await page.keyboard.press('Enter');
  await page.keyboard.press('Tab');
  const [name, folded] = await page.evaluate(() => [document.activeElement.textContent.trim(), document.activeElement.closest('details') !== null]);
  assert.ok(folded && name.startsWith('Sign in with '), name);
});

test('every provider has its button and its logo, light and dark, on a phone and on a desk', async () => {
  const listed = (await run(build('gatepost'), ['providers'])).trim().split('\n').length - 1;
  await page.locator('details').evaluate((e) => { e.open = true; });
  await look(page, 'every-provider');
  for (const width of [320, 1280]) {
    await page.setViewportSize({ width, height: 800 });
    const { count, found } = await mistakes(page);
    assert.deepEqual([count, found], [listed, []], `${width} px`);
  }
  const names = await page.getByRole('button', { name: /^Sign in with / }).count();
  assert.equal(names, listed);
  await spread(page);
  assert.deepEqual((await mistakes(page)).found, []);
});
