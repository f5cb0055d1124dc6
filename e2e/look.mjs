// Looks at a page as people do who see it differently: in light and dark, on a
// phone and on a desk, enlarged, and through axe.
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { mkdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
export const artifacts = fileURLToPath(new URL('artifacts', import.meta.url));
mkdirSync(artifacts, { recursive: true });

// WCAG 2.2 AA and good practice; the size of targets is off in axe by default.
const options = JSON.stringify({ rules: { 'target-size': { enabled: true } } });

// fits asks whether a page stays within the narrowest screen (WCAG 1.4.10).
export async function fits(page, name) {
  await page.setViewportSize({ width: 320, height: 640 });
  const [scrollWidth, clientWidth] = await page.evaluate(() => [document.documentElement.scrollWidth, document.documentElement.clientWidth]);
  assert.ok(scrollWidth <= clientWidth, `${name} scrolls sideways at 320 px: ${scrollWidth}`);
}

export async function look(page, name) {
  for (const colorScheme of ['dark', 'light']) {
    await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
    await page.setViewportSize({ width: 1280, height: 800 });
    await page.screenshot({ path: `${artifacts}/${name}-${colorScheme}-wide.png`, fullPage: true });
    await fits(page, name);
    await page.setViewportSize({ width: 360, height: 740 });
    await page.screenshot({ path: `${artifacts}/${name}-${colorScheme}-narrow.png`, fullPage: true });
    // Our own policy forbids scripts, so axe comes in through the debugger.
    const found = await page.evaluate(`${axe}; axe.run(document, ${options}).then((r) => r.violations.map((v) => v.id + ': ' + v.nodes.map((n) => n.target + ' ' + n.failureSummary).join(' ')))`);
    assert.deepEqual(found, [], `${name} in ${colorScheme}`);
  }
}
