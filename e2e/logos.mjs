// Lays out the sign-in page with every provider of the catalogue so that all of
// it fits into one picture, and says what is wrong with it. Run by itself it
// makes docs/logos.png: light above, dark below.
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { palettePNG } from './png.mjs';
import { build, dir, freePorts, launch, root, start, stopAll } from './world.mjs';

// everyProvider starts a site that offers all of them and gives its sign-in page.
export async function everyProvider(browser) {
  const port = await freePorts(4);
  await start(build('gatepost-dev'), ['-all', '-port', String(port), '-dir', dir('all')], { ready: /Database\s+(\S+)/ });
  const page = await (await browser.newContext({ reducedMotion: 'reduce' })).newPage();
  await page.goto(`http://localhost:${port}/auth/signin`);
  return page;
}

// spread folds the list out and puts all buttons into columns. The policy forbids
// styles of others, so they are set one by one.
export const spread = (page) => page.evaluate(() => {
  const set = (selector, style) => document.querySelectorAll(selector).forEach((e) => Object.assign(e.style, style));
  const more = document.querySelector('details');
  more.open = true;
  const first = document.querySelector('main > .stack');
  more.querySelectorAll('form').forEach((form) => first.append(form));
  set('details, .or, main > form, h1, body > header, footer', { display: 'none' });
  set('body', { padding: '0', display: 'block' });
  set('main', { maxWidth: 'none', padding: '12px', border: '0', borderRadius: '0', boxShadow: 'none' });
  Object.assign(first.style, { display: 'grid', gridTemplateColumns: 'repeat(8, 1fr)', gap: '6px', margin: '0' });
  set('main > .stack > form', { margin: '0', display: 'grid' });
  set('.button', { minHeight: '40px', padding: '2px 4px 2px 38px', fontSize: '12px', overflowWrap: 'normal', justifyContent: 'start', textAlign: 'start' });
  set('.button img', { insetInlineStart: '10px' });
  document.querySelectorAll('.button').forEach((b) => {
    for (const n of b.childNodes) if (n.nodeType === Node.TEXT_NODE) n.textContent = n.textContent.replace('Sign in with ', '');
  });
});

// mistakes are logos that do not load, are not ours, or lie where words are, and
// words that leave their button.
export const mistakes = (page) => page.evaluate(async () => {
  const found = [], apart = (a, b) => a.right <= b.left || b.right <= a.left || a.bottom <= b.top || b.bottom <= a.top;
  const buttons = [...document.querySelectorAll('button:has(img)')];
  for (const b of buttons) {
    const name = b.textContent.trim(), img = b.querySelector('img'), box = b.getBoundingClientRect(), logo = img.getBoundingClientRect();
    await img.decode().catch(() => {});
    if (!img.complete || img.naturalWidth === 0) found.push(`${name}: the logo does not load`);
    if (new URL(img.src).origin !== location.origin) found.push(`${name}: the logo comes from elsewhere`);
    if (img.alt !== '') found.push(`${name}: the logo says again what the button says`);
    if (logo.width < 16 || logo.height < 16 || logo.right > box.right || logo.left < box.left) found.push(`${name}: the logo is ${logo.width} by ${logo.height}`);
    const words = document.createRange();
    words.selectNodeContents(b);
    for (const w of words.getClientRects()) {
      if (w.width === logo.width && w.left === logo.left || w.width === 0) continue;
      if (!apart(w, logo)) found.push(`${name}: logo and words lie upon each other`);
      if (w.left < box.left || w.right > box.right || w.top < box.top || w.bottom > box.bottom) found.push(`${name}: words leave the button`);
    }
  }
  return { count: buttons.length, found };
});

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const browser = await launch();
  try {
    const page = await everyProvider(browser);
    await page.setViewportSize({ width: 1200, height: 800 });
    await spread(page);
    const pictures = [];
    for (const colorScheme of ['light', 'dark']) {
      await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
      const { count, found } = await mistakes(page);
      if (found.length) throw new Error(`${count} logos, ${colorScheme}:\n${found.join('\n')}`);
      pictures.push((await page.locator('main').screenshot()).toString('base64'));
    }
    const painter = await (await browser.newContext()).newPage(); // whose policy is its own
    writeFileSync(`${root}docs/logos.png`, await palettePNG(painter, pictures));
  } finally {
    await browser.close();
    await stopAll();
  }
}
