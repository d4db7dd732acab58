// Debian's Chromium, by playwright-core.
import { chromium } from 'playwright-core';

export async function launch(watch) {
  const browser = await chromium.launch({
    executablePath: '/usr/bin/chromium',
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      '--allow-loopback-in-peer-connection',
      '--autoplay-policy=no-user-gesture-required',
    ],
  });
  return {
    close: () => browser.close(),
    open: async (url, log) => {
      // localkvs makes a CA of its own for each test.
      const context = await browser.newContext({ ignoreHTTPSErrors: true, viewport: { width: 1000, height: 700 } });
      await context.addInitScript({ path: watch });
      const page = await context.newPage();
      page.setDefaultTimeout(20000);
      page.on('console', (message) => log.push(`${message.type()}: ${message.text()}`));
      page.on('pageerror', (error) => log.push(`uncaught: ${error}`));
      await page.goto(url);
      return { page, context };
    },
  };
}
