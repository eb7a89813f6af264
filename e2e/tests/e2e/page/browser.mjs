// The page of couic-report in a real Chromium, by the steps of a user. Prints one line per step; ends with 1 at the first
// that fails. Environment: PAGE (URL), TOKEN (role act), FIREWALL (its name), MODULES (a node_modules with playwright-core
// and axe-core), CHROMIUM (the browser); SHOTS, a directory for screenshots, if they are wanted.
import { createRequire } from 'node:module';
import { readFileSync } from 'node:fs';
import { strict as assert } from 'node:assert';

const { PAGE, TOKEN, FIREWALL, MODULES, CHROMIUM, SHOTS } = process.env;
const require = createRequire(`${MODULES}/x.js`);
const { chromium } = require('playwright-core');
const axe = readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');
const BANNED = '203.0.113.99';
const deadline = setTimeout(() => { console.error('the test took too long'); process.exit(1); }, 120_000);

const browser = await chromium.launch({
  executablePath: CHROMIUM,
  args: ['--no-sandbox', '--disable-dev-shm-usage', '--disable-gpu'],
});

// A page that collects what a browser complains about: script errors, violations of the policy, failed requests.
async function open(options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(20_000);
  page.complaints = [];
  page.on('console', (said) => {
    if (['error', 'warning'].includes(said.type())) page.complaints.push(said.text());
  });
  page.on('pageerror', (error) => page.complaints.push(String(error)));
  page.on('request', (request) => {
    if (!request.url().startsWith(PAGE) && !request.url().startsWith('data:')) page.complaints.push(`asks ${request.url()}`);
  });
  return page;
}

async function login(page, path = '/') {
  await page.goto(PAGE + path);
  // The answer 401 to the first visit is no complaint.
  page.complaints.length = 0;
  await page.getByLabel('Token').fill(TOKEN);
  await page.getByRole('button', { name: 'Log in' }).click();
  await page.getByRole('button', { name: 'Log out' }).waitFor();
}

async function accessible(page, what) {
  // Playwright evaluates outside of the page's policy.
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => window.axe.run({ resultTypes: ['violations'] }));
  const grave = violations.filter((one) => ['serious', 'critical'].includes(one.impact));
  const told = grave.map((one) => `${one.id}: ${one.help}: ${one.nodes.map((node) => node.html).join(' ').slice(0, 400)}`);
  assert.deepEqual(told, [], `${what}: accessibility`);
}

async function fits(page, what) {
  const [inner, scroll] = await page.evaluate(() => [innerWidth, document.documentElement.scrollWidth]);
  assert.ok(scroll <= inner, `${what}: ${scroll} px wide on a screen of ${inner} px`);
}

const PATHS = ['/', `/address?ip=${BANNED}`, '/changes', '/firewalls', `/firewalls?name=${FIREWALL}`, '/notifiers', '/settings'];

// What a user sees first, in both schemes and on a phone.
const PICTURES = [
  ['page-now', '/', { viewport: { width: 1200, height: 1000 } }],
  ['page-address', `/address?ip=${process.env.SHOT_IP}`, { viewport: { width: 1200, height: 900 } }],
  ['page-phone', '/', { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, isMobile: true, colorScheme: 'dark' }],
];

async function step(name, work) {
  // Pictures are of a firewall that nothing was tried on.
  if (Boolean(SHOTS) !== name.startsWith('page-')) return;
  const start = Date.now();
  await work();
  console.log(`${name}: ok (${Date.now() - start} ms)`);
}

try {
  await step('login, and a chart that a script drew', async () => {
    const page = await open();
    await login(page);
    await page.locator('#chart-rules .uplot canvas').waitFor();
    await page.getByRole('rowheader', { name: FIREWALL }).first().waitFor();
    const request = page.waitForRequest((sent) => sent.url().includes('/part/figures'));
    await request;
    assert.ok(await page.locator('#chart-rules .uplot canvas').isVisible(), 'the chart stays when figures are refreshed');
    assert.deepEqual(page.complaints, []);
    await page.context().close();
  });

  await step('ban, confirm, unban, undo', async () => {
    const page = await open();
    await login(page, `/address?ip=${BANNED}`);
    await page.getByText('No rule covers it.').waitFor();
    await page.getByLabel('Reason').fill('scans <b>ports</b>');
    await page.getByRole('button', { name: `Ban on ${FIREWALL}`, exact: true }).click();
    await page.getByText(`${BANNED}/32 is banned.`).waitFor();
    await page.getByText('scans <b>ports</b>').first().waitFor();
    const left = page.locator('[data-countdown]').first();
    const before = parseInt(await left.textContent(), 10);
    await page.waitForFunction((was) => parseInt(document.querySelector('[data-countdown]').textContent, 10) < was, before);
    await page.locator('.pending').getByRole('button', { name: 'Confirm' }).click();
    await page.getByText('the change is confirmed, and stays.').waitFor();
    assert.equal(await page.locator('.pending').count(), 0);
    await page.getByRole('button', { name: 'Unban' }).click();
    await page.getByText(`drop ${BANNED}/32 is deleted.`).waitFor();
    await page.locator('.pending').getByRole('button', { name: 'Undo' }).click();
    await page.getByText('undone:').waitFor();
    await page.locator('.verdict .state.bad').first().waitFor();
    assert.deepEqual(page.complaints, []);
    await page.context().close();
  });

  await step('allow for an hour without script', async () => {
    const page = await open({ javaScriptEnabled: false });
    await login(page, `/address?ip=${BANNED}`);
    await page.getByRole('button', { name: 'Allow for an hour' }).click();
    await page.getByText(`${BANNED}/32 passes for an hour`).waitFor();
    await page.locator('.pending').getByRole('button', { name: 'Confirm' }).click();
    await page.getByText('the change is confirmed, and stays.').waitFor();
    await page.getByText(`Decided by ignore ${BANNED}/32.`).waitFor();
    await page.goto(`${PAGE}/`);
    assert.ok(await page.locator('#chart-rules svg.plot').isVisible(), 'the drawing of the server');
    await page.context().close();
  });

  await step('a guard rail answers in its words', async () => {
    const page = await open();
    await login(page, '/address?ip=127.0.0.1');
    await page.getByRole('button', { name: `Ban on ${FIREWALL}`, exact: true }).click();
    await page.getByText('Nothing was changed.').waitFor();
    await page.context().close();
  });

  for (const scheme of ['light', 'dark']) {
    await step(`every page is accessible, ${scheme}`, async () => {
      const page = await open({ colorScheme: scheme });
      await page.goto(PAGE);
      await accessible(page, 'login');
      await login(page);
      for (const path of PATHS) {
        await page.goto(PAGE + path);
        await accessible(page, path);
        await fits(page, path);
      }
      assert.deepEqual(page.complaints, []);
      await page.context().close();
    });
  }

  await step('every page fits a phone of 360 px', async () => {
    const page = await open({ viewport: { width: 360, height: 740 }, isMobile: true, hasTouch: true });
    await login(page);
    for (const path of PATHS) {
      await page.goto(PAGE + path);
      await fits(page, path);
    }
    await page.context().close();
  });

  await step('a look-up with the keyboard alone', async () => {
    const page = await open();
    await page.goto(PAGE);
    // The browser gives the focus once it has drawn the page.
    await page.waitForFunction(() => document.activeElement?.matches('input[name=token]'));
    await page.keyboard.type(TOKEN);
    await page.keyboard.press('Enter');
    await page.getByRole('button', { name: 'Log out' }).waitFor();
    await page.keyboard.press('Tab');
    assert.equal(await page.evaluate(() => document.activeElement.textContent), 'Skip to content');
    await page.keyboard.press('Enter');
    assert.equal(await page.evaluate(() => document.activeElement.id), 'main');
    for (let tries = 0; tries < 40; tries += 1) {
      await page.keyboard.press('Shift+Tab');
      if (await page.evaluate(() => document.activeElement.id === 'find')) break;
    }
    const outline = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
    assert.equal(outline, 'solid', 'the focus is visible');
    await page.keyboard.type(BANNED);
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { name: `Address ${BANNED}` }).waitFor();
    await page.context().close();
  });

  for (const [name, path, options] of SHOTS ? PICTURES : []) {
    await step(name, async () => {
      const page = await open(options);
      await login(page, path);
      if (path === '/') await page.locator('#chart-rules .uplot canvas').waitFor();
      await page.screenshot({ path: `${SHOTS}/${name}.png` });
      await page.context().close();
    });
  }
} catch (error) {
  console.error(error);
  process.exitCode = 1;
} finally {
  clearTimeout(deadline);
  await browser.close();
}
