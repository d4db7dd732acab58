// Drives one of Debian's browsers for the tests, chromium or firefox as its argument says: one JSON command a line on
// stdin, one JSON answer a line on stdout.
//
//   {"id":1,"open":"http://127.0.0.1:1234/"}           -> {"id":1,"page":1}
//   {"id":2,"page":1,"call":"stats","args":[]}         -> {"id":2,"value":...}    awaits window.stats(...args)
//   {"id":3,"page":1,"reload":true}                    -> {"id":3}                the page begins again
//   {"id":4,"page":1,"close":true,"screenshot":"FILE"} -> {"id":4,"value":["what the page wrote to its console"]}
//   {"id":5}                                           -> {"id":5}                the browser has started
//
// An answer with "error" says what went wrong. The end of stdin ends the browser.
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const { launch } = await import(`./${process.argv[2]}.mjs`);
const browser = await launch(fileURLToPath(new URL('watch.js', import.meta.url)));
const pages = new Map();
let opened = 0;

async function open(url) {
  const id = ++opened;
  const log = [];
  pages.set(id, { log, ...(await browser.open(url, log)) });
  return id;
}

async function close({ context, page, log }, screenshot) {
  if (screenshot) await page.screenshot({ path: screenshot });
  await context.close();
  return log;
}

async function answer(command) {
  if (Object.keys(command).length === 1) return {};
  if (command.open) return { page: await open(command.open) };
  const entry = pages.get(command.page);
  if (!entry) throw new Error(`no page ${command.page}`);
  if (command.close) {
    pages.delete(command.page);
    return { value: await close(entry, command.screenshot) };
  }
  if (command.reload) {
    await entry.page.reload();
    return {};
  }
  return {
    value: await entry.page.evaluate(([call, args]) => window[call](...args), [command.call, command.args ?? []]),
  };
}

for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line);
  answer(command)
    .catch((error) => ({ error: String(error.stack ?? error) }))
    .then((result) => process.stdout.write(JSON.stringify({ id: command.id, ...result }) + '\n'));
}
await browser.close();
