// Starts what the tests talk to, and ends it by pid.
import { execFile, execFileSync, spawn } from 'node:child_process';
import { promisify } from 'node:util';
import { accessSync, constants, mkdtempSync, chmodSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import net from 'node:net';
import { chromium } from 'playwright-core';

export const root = new URL('..', import.meta.url).pathname;
const running = [];
const scratch = mkdtempSync(join(tmpdir(), 'gatepost-e2e-'));
chmodSync(scratch, 0o755); // Postgres runs as another user when we are root

export function build(command) {
  const out = join(scratch, command);
  execFileSync('go', ['build', '-o', out, './cmd/' + command], { cwd: root, stdio: 'inherit' });
  return out;
}

// findBrowser gives the program that CHROMIUM names, or the first Chromium of
// the PATH or of the places where systems without one put it.
function findBrowser() {
  const names = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable', 'chrome'];
  const places = (process.env.PATH ?? '').split(delimiter).flatMap((dir) => names.map((name) => join(dir, name)));
  places.push('/snap/bin/chromium', '/Applications/Chromium.app/Contents/MacOS/Chromium', '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome');
  const found = [process.env.CHROMIUM, ...places].filter(Boolean).find((path) => {
    try { accessSync(path, constants.X_OK); return true; } catch { return false; }
  });
  if (!found) throw new Error('no Chromium on this machine; install the package chromium, or name the program in CHROMIUM');
  return found;
}

export const launch = () => chromium.launch({
  executablePath: findBrowser(),
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
});

// freePorts gives n ports in a row, below those that systems give to outgoing
// connections (32768 on).
export async function freePorts(n) {
  const free = (port) => new Promise((ok) => {
    const s = net.createServer().once('error', () => ok(false)).once('listening', () => s.close(() => ok(true)));
    s.listen(port, '127.0.0.1');
  });
  for (let port = 12000 + Math.floor(Math.random() * 20000); ; port += n) {
    const all = await Promise.all([...Array(n).keys()].map((i) => free(port + i)));
    if (all.every(Boolean)) return port;
  }
}

// start runs a program until its output matches ready.
export function start(file, args, { env, ready }) {
  const child = spawn(file, args, { cwd: scratch, env: { PATH: process.env.PATH, HOME: process.env.HOME, ...env } });
  running.push(child);
  return new Promise((ok, fail) => {
    let out = '';
    const timer = setTimeout(() => fail(new Error(`${file} is not ready:\n${out}`)), 60_000);
    const read = (chunk) => {
      out += chunk;
      const m = ready.exec(out);
      if (m) { clearTimeout(timer); ok({ child, match: m }); }
    };
    child.stdout.on('data', read);
    child.stderr.on('data', read);
    child.once('exit', (code) => { clearTimeout(timer); fail(new Error(`${file} ended with ${code}:\n${out}`)); });
  });
}

// run waits for a program without stopping the servers of this process.
export async function run(file, args, env) {
  try {
    return (await promisify(execFile)(file, args, { env: { PATH: process.env.PATH, ...env } })).stdout;
  } catch (err) {
    throw new Error(`${file} ${args}: ${err.stdout}${err.stderr}`);
  }
}

export async function stopAll() {
  await Promise.all(running.reverse().map((child) => new Promise((ok) => {
    if (child.exitCode !== null || child.signalCode !== null) return ok();
    child.once('exit', ok);
    child.kill('SIGTERM');
  })));
  rmSync(scratch, { recursive: true, force: true });
}

// mailSink is an SMTP server that keeps what it gets; next() waits for a mail.
export async function mailSink() {
  const mails = [], waiting = [];
  const server = net.createServer((socket) => {
    let buffer = '', mail = null, data = false;
    const say = (line) => socket.write(line + '\r\n');
    say('220 localhost');
    socket.on('error', () => {}).on('data', (chunk) => {
      buffer += chunk;
      for (let end; (end = buffer.indexOf(data ? '\r\n.\r\n' : '\r\n')) >= 0;) {
        const line = buffer.slice(0, end);
        buffer = buffer.slice(end + (data ? 5 : 2));
        if (data) {
          data = false;
          mail.text = /text\/plain[^]*?\r\n\r\n([^]*?)\r\n--/.exec(line)[1].replace(/^\.\./gm, '.').replace(/=\r\n/g, '').replace(/=([0-9A-F]{2})/g, (_, hex) => String.fromCharCode(parseInt(hex, 16)));
          (waiting.shift() ?? ((m) => mails.push(m)))(mail);
          say('250 ok');
        } else if (/^RCPT/i.test(line)) {
          mail = { to: /<(.*)>/.exec(line)[1] };
          say('250 ok');
        } else if (/^DATA/i.test(line)) {
          data = true;
          say('354 go on');
        } else if (/^QUIT/i.test(line)) {
          say('221 bye');
          socket.end();
        } else say('250 localhost');
      }
    });
  });
  await new Promise((ok) => server.listen(0, '127.0.0.1', ok));
  return {
    port: server.address().port,
    next: () => (mails.length ? Promise.resolve(mails.shift()) : new Promise((ok) => waiting.push(ok))),
    close: () => server.close(),
  };
}

export const dir = (name) => join(scratch, name);
