// Debian's Firefox ESR, by puppeteer-core: playwright drives only builds of its own.
import { readFile } from 'node:fs/promises';
import puppeteer from 'puppeteer-core';

export async function launch(watch) {
  const script = await readFile(watch, 'utf8');
  const browser = await puppeteer.launch({
    browser: 'firefox',
    executablePath: '/usr/bin/firefox-esr',
    acceptInsecureCerts: true,
    defaultViewport: { width: 1000, height: 700 },
    extraPrefsFirefox: {
      'media.autoplay.default': 0,
      'media.peerconnection.ice.loopback': true,
      'media.peerconnection.ice.obfuscate_host_addresses': false, // no mDNS names
      // It fetches its H.264 from the network, if it may. Here it has none, as with those who never let it.
      'media.gmp-manager.updateEnabled': false,
      'media.gmp-gmpopenh264.enabled': false,
      'network.trr.mode': 5, // no DNS over HTTPS
    },
  });
  return {
    close: () => browser.close(),
    open: async (url, log) => {
      const context = await browser.createBrowserContext();
      const page = await context.newPage();
      page.setDefaultTimeout(20000);
      page.on('console', (message) => log.push(`${message.type()}: ${message.text()}`));
      page.on('pageerror', (error) => log.push(`uncaught: ${error}`));
      await page.evaluateOnNewDocument(script);
      await page.goto(url);
      return { page, context };
    },
  };
}
