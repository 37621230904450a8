// A check of the guest itself, without a test runner: `node vm/smoke.ts [name]`. What the other suites take for
// granted is shown here: exact bytes both ways, commands side by side, kills, cuts, sockets, both kinds of guest.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { connect } from 'node:http2';
import type { ClientHttp2Session } from 'node:http2';
import { connect as connectSocket } from 'node:net';
import { GuestError } from './fault.ts';
import { startGuest } from './guest.ts';
import type { Guest } from './guest.ts';
import { waitFor } from './wait.ts';

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString();

const check = async (what: string, work: () => Promise<unknown>): Promise<void> => {
  const startMs = performance.now();
  const note = await work();
  const took = `${(performance.now() - startMs).toFixed(0)} ms`;
  process.stdout.write(`ok  ${what} (${took}${typeof note === 'string' ? `, ${note}` : ''})\n`);
};

const commands = async (guest: Guest): Promise<void> => {
  await check('a round trip', async () => {
    const startMs = performance.now();
    for (let count = 0; count < 50; count += 1) assert.equal((await guest.exec(['true'])).code, 0);
    return `${((performance.now() - startMs) / 50).toFixed(1)} ms each`;
  });
  await check('fifty at once', async () => {
    const all = await Promise.all(Array.from({ length: 50 }, (_, index) => guest.output(['echo', String(index)])));
    assert.deepEqual(
      all,
      Array.from({ length: 50 }, (_, index) => `${index}\n`),
    );
  });
  await check('exit codes, signals, and what cannot start', async () => {
    const result = await guest.exec(['sh', '-c', 'echo out; echo err >&2; exit 3']);
    assert.deepEqual([result.code, text(result.stdout), text(result.stderr)], [3, 'out\n', 'err\n']);
    assert.equal((await guest.exec(['sh', '-c', 'kill -SEGV $$'])).signal, 'SIGSEGV');
    const missing = (error: unknown): boolean => error instanceof GuestError && error.kind === 'cannot-start';
    await assert.rejects(guest.exec(['no-such-program']), missing);
  });
  await check('arguments, environment and folder as they are', async () => {
    const words = ['a b', '', '$x', '"', "'", 'ü\n'];
    assert.equal(await guest.output(['printf', '[%s]', ...words]), words.map((word) => `[${word}]`).join(''));
    const env = { FOO: 'b=r' };
    assert.equal(await guest.output(['sh', '-c', 'echo "$FOO $PWD"'], { env, cwd: '/tmp' }), 'b=r /tmp\n');
  });
  await check('4 MiB through a command and back', async () => {
    const bytes = randomBytes(4 * 1024 ** 2);
    const result = await guest.exec(['cat'], { stdin: bytes });
    assert.ok(bytes.equals(result.stdout));
  });
  await check('input that nobody reads, then another command', async () => {
    assert.equal((await guest.exec(['true'], { stdin: Buffer.alloc(4 * 1024 ** 2) })).code, 0);
    assert.equal(await guest.output(['echo', 'next']), 'next\n');
  });
  await check('a time limit and an abort kill the whole group', async () => {
    const late = await guest.exec(['sh', '-c', 'sleep 1000 & sleep 1000'], { timeoutMs: 300 });
    assert.deepEqual([late.code, late.signal, late.timedOut], [null, 'SIGKILL', true]);
    const controller = new AbortController();
    const aborted = guest.exec(['sleep', '1000'], { signal: controller.signal });
    controller.abort();
    assert.equal((await aborted).signal, 'SIGKILL');
    const left = await waitFor(5000, async () =>
      (await guest.exec(['pgrep', 'sleep'])).code === 1 ? true : undefined,
    );
    assert.equal(left, true);
  });
  await check('a daemon left behind does not hold up its starter', async () => {
    assert.equal(await guest.output(['sh', '-c', 'setsid sleep 1000 & echo started']), 'started\n');
    await guest.output(['pkill', 'sleep']);
  });
  await check('files in and out', async () => {
    const bytes = randomBytes(100_000);
    await guest.push({ 'a/b.bin': bytes, 'c.txt': 'text' }, '/tmp/pushed');
    assert.ok(bytes.equals(await guest.pull('/tmp/pushed/a/b.bin')));
    assert.equal(text(await guest.pull('/tmp/pushed/c.txt')), 'text');
  });
};

const blockDevices = async (guest: Guest): Promise<void> => {
  await check('LVM and device-mapper', async () => {
    await guest.output(['vgcreate', '-qq', '--metadatasize', '64m', 'pool', ...guest.disks]);
    await guest.output(['lvcreate', '-qq', '-y', '-Wn', '-n', 'store', '-L', '64m', 'pool']);
    const [major, minor] = (
      await guest.output(['lvs', '--noheadings', '-o', 'lv_kernel_major,lv_kernel_minor', 'pool/store'])
    )
      .trim()
      .split(/\s+/);
    await guest.output(['dmsetup', 'create', 'v', '--table', `0 131072 linear ${major}:${minor} 0`]);
    assert.match(await guest.output(['dmsetup', 'table', 'v']), /^0 131072 linear /);
    await guest.output(['dmsetup', 'remove', 'v']);
  });
  await check('zeroing and discarding', async () => {
    const startMs = performance.now();
    await guest.output(['blkdiscard', '--zeroout', '/dev/pool/store']);
    return `64 MiB zeroed in ${(performance.now() - startMs).toFixed(0)} ms`;
  });
};

const sockets = async (guest: Guest): Promise<void> => {
  const server = `require('node:http2').createServer().on('stream', (s) => { s.respond({':status': 200}); s.pipe(s); }).listen('/run/echo.sock')`;
  const serving = guest.exec(['node', '-e', server]);
  const forward = await guest.forward('/run/echo.sock');
  await waitFor(60_000, async () =>
    (await guest.exec(['test', '-S', '/run/echo.sock'])).code === 0 ? true : undefined,
  );
  const echo = (session: ClientHttp2Session, bytes: Buffer): Promise<void> =>
    new Promise((resolve, reject) => {
      const stream = session.request({ ':method': 'POST', ':path': '/' });
      const pieces: Buffer[] = [];
      stream.on('data', (piece: Buffer) => pieces.push(piece)).on('error', reject);
      stream.on('end', () => (Buffer.concat(pieces).equals(bytes) ? resolve() : reject(new Error('other bytes'))));
      stream.end(bytes);
    });
  await check('HTTP/2 to a unix socket in the guest: 10 connections of 10 streams', async () => {
    await Promise.all(
      Array.from({ length: 10 }, async () => {
        const session = connect('http://guest', { createConnection: () => connectSocket(forward.path) });
        await Promise.all(Array.from({ length: 10 }, () => echo(session, randomBytes(10_000))));
        session.close();
      }),
    );
  });
  await check('one call after the other', async () => {
    const session = connect('http://guest', { createConnection: () => connectSocket(forward.path) });
    await echo(session, randomBytes(100));
    const startMs = performance.now();
    for (let count = 0; count < 20; count += 1) await echo(session, randomBytes(100));
    session.close();
    return `${((performance.now() - startMs) / 20).toFixed(1)} ms each`;
  });
  await guest.output(['pkill', 'node']);
  await serving;
  await forward.close();
};

const cuts = async (guest: Guest): Promise<void> => {
  await check('a power cut: commands are lost, disks stay, the root disk is new', async () => {
    await guest.output(['sh', '-c', 'echo kept >/var/lib/snapmerge-guest/kept; sync; echo gone >/root/gone']);
    const pending = guest.exec(['sleep', '1000']);
    const lost = assert.rejects(pending, (error: unknown) => error instanceof GuestError && error.kind === 'lost');
    await guest.exec(['true']);
    await guest.cut();
    await lost;
    assert.equal(guest.isRunning(), false);
    await guest.boot();
    assert.equal(await guest.output(['cat', '/var/lib/snapmerge-guest/kept']), 'kept\n');
    assert.equal((await guest.exec(['test', '-e', '/root/gone'])).code, 1);
    assert.equal((await guest.output(['vgs', '--noheadings', '-o', 'vg_name'])).trim(), 'pool');
  });
};

const smoke = async (name: string, udev: boolean): Promise<void> => {
  const startMs = performance.now();
  const guest = await startGuest({ name, udev });
  process.stdout.write(`ok  booted '${name}' (${((performance.now() - startMs) / 1000).toFixed(1)} s)\n`);
  const running = await guest.exec(['pgrep', 'systemd-udevd']);
  assert.equal(running.code, udev ? 0 : 1);
  await commands(guest);
  await blockDevices(guest);
  await sockets(guest);
  await cuts(guest);
  await check('an orderly end', () => guest.stop());
};

const prefix = process.argv[2] ?? 'smoke';
await smoke(`${prefix}-udev`, true);
await smoke(`${prefix}-bare`, false);
await Promise.all(
  ['1', '2', '3'].map(async (number) => {
    const guest = await startGuest({ name: `${prefix}-${number}`, memoryMiB: 512, cpus: 1 });
    assert.equal(await guest.output(['hostname']), `${prefix}-${number}\n`);
    await guest.stop();
  }),
);
process.stdout.write('ok  three guests side by side\n');
