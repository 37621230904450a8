import { expect, test } from 'vitest';
import { PoolHeld, createClaims } from '../../../src/dm/claim.ts';
import type { OpenExclusive } from '../../../src/dm/claim.ts';
import { scriptedExec } from '../scripted-exec.ts';

/** Device-mapper as far as a claim sees it: one device, whether it is open, and what happens beside us. */
function world({ reused = 0, tableless = false }: { readonly reused?: number; readonly tableless?: boolean } = {}) {
  let device = tableless ? { minor: 7, name: 'snapmerge.lock-fast', table: false } : undefined;
  let next = tableless ? 8 : 7;
  let surprises = reused;
  const open = new Set<number>();
  const script = scriptedExec(([, verb, ...args]) => {
    switch (verb) {
      case 'create':
        if (device !== undefined) return 1;
        device = { minor: next, name: args[0] ?? '', table: true };
        next += 1;
        return '';
      case 'info':
        if (args.includes('open')) return device === undefined ? 1 : `${open.has(device.minor) ? 1 : 0}\n`;
        return device === undefined ? 1 : `253 ${device.minor} ${device.name}\n`;
      case 'rename':
        if (device !== undefined) device = { ...device, name: args.at(-1) ?? '' };
        return '';
      case 'remove':
        if (device === undefined || device.name !== args.at(-1) || open.has(device.minor)) return 1;
        device = undefined;
        return '';
      case undefined:
      default:
        return 1;
    }
  });
  const openDevice: OpenExclusive = (path) => {
    const minor = Number(path.replace('/dev/dm-', ''));
    if (device?.minor === minor && !device.table) return { why: 'ENXIO: no such device or address' };
    if (open.has(minor)) return 'busy';
    open.add(minor);
    // Somebody has removed it and made another one between our look and our opening.
    if (surprises > 0) {
      surprises -= 1;
      device = { minor: next, name: 'snapmerge.lock-fast', table: true };
      next += 1;
    }
    return { close: () => void open.delete(minor) };
  };
  const claims = (command: string, pid: number) =>
    createClaims({
      exec: script.exec,
      open: openDevice,
      holder: () => ({ command, pid, host: 'worker-1', sinceMs: Date.parse('2030-01-02T03:04:05Z') }),
      sleep: async () => undefined,
    });
  return { claims, open, device: () => device };
}

test('one process has the group, and a second one hears which, and since when', async () => {
  const { claims, device } = world();
  const claim = await claims('serve', 4711).claim('fast');
  expect(device()?.name).toBe('snapmerge.lock-fast@serve@4711@20300102T030405Z@worker-1');
  const second = await claims('pool create', 12)
    .claim('fast')
    .catch((error: unknown) => error);
  expect(second).toBeInstanceOf(PoolHeld);
  expect(second).toMatchObject({
    kind: 'unavailable',
    message:
      "Cannot take volume group 'fast': it is owned by 'snapmerge serve' (process 4711 on worker-1, since 2030-01-02T03:04:05Z)",
  });
  expect(await claims('tables', 13).ownerOf('fast')).toContain('process 4711');
  await claim.release();
  expect(device()).toBeUndefined();
  expect(await claims('tables', 13).ownerOf('fast')).toBeUndefined();
  const next = await claims('pool create', 12).claim('fast');
  expect(device()?.name).toContain('@pool-create@12@');
  await next.release();
});

test('what a process that died has left is taken over, with its name', async () => {
  const { claims, open, device } = world();
  await claims('serve', 1).claim('fast');
  open.clear();
  await claims('serve', 2).claim('fast');
  expect(device()?.name).toContain('@serve@2@');
});

test('a device whose number has become another one is not taken for it', async () => {
  const { claims, open, device } = world({ reused: 2 });
  await claims('serve', 1).claim('fast');
  expect([...open]).toEqual([device()?.minor]);
});

test('a device without a table, of a process that died while it made it, is made anew', async () => {
  const { claims, open, device } = world({ tableless: true });
  await claims('serve', 1).claim('fast');
  expect([...open]).toEqual([device()?.minor]);
  expect(device()).toMatchObject({ minor: 8, table: true });
});

test('a machine without device-mapper says why', async () => {
  const exec = scriptedExec(([, verb]) => (verb === 'create' ? { code: 1, stderr: 'no /dev/mapper/control' } : 1)).exec;
  const { claim } = createClaims({
    exec,
    open: () => 'busy',
    holder: () => ({ command: 'serve', pid: 1, host: 'h', sinceMs: 0 }),
    sleep: async () => undefined,
  });
  await expect(claim('fast')).rejects.toThrow(
    "Cannot take volume group 'fast' for this process: exit code 1: no /dev/mapper",
  );
});

test('a name never gets longer than the kernel takes', async () => {
  const { claims, device } = world();
  await claims('serve', 1).claim('g'.repeat(113));
  expect(device()?.name).toHaveLength(127);
});
