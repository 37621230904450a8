// The control plane alone: what it stores outlives an API server that goes away, its users have their roles and no
// more, and nothing of it is left at the end.

import { existsSync } from 'node:fs';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { API_PORT, removeControlPlane, startControlPlane } from '../../../tools/cluster/control-plane.ts';
import type { ControlPlane } from '../../../tools/cluster/control-plane.ts';
import { attempt } from '../../../tools/run.ts';

const BUILD_LIMIT_MS = 40 * 60_000;
const NAME = 'control-plane-test';
let plane: ControlPlane;

beforeAll(async () => {
  plane = await startControlPlane({ name: NAME, nodes: ['worker'] });
}, BUILD_LIMIT_MS);
afterAll(() => removeControlPlane(NAME));

const configMap = `apiVersion: v1
kind: ConfigMap
metadata: { name: kept }
data: { answer: 'yes' }
`;

test('keeps what it stored while the API server is away', async () => {
  await plane.kubectl(['apply', '--filename=-'], { input: configMap });
  await plane.stopApi();
  await expect(plane.kubectl(['get', 'configmap', 'kept', '--request-timeout=5s'])).rejects.toThrow('Cannot finish');
  await plane.startApi();
  expect(await plane.kubectl(['get', 'configmap', 'kept', '--output=jsonpath={.data.answer}'])).toBe('yes');
}, 240_000);

test('lets a kubelet register its node, and no other', async () => {
  const path = join(plane.dir, 'worker.kubeconfig');
  await writeFile(path, await plane.kubeconfig('system:node:worker', plane.url));
  const create = async (name: string): Promise<string> => {
    const argv = [plane.binaries.path('kubectl'), `--kubeconfig=${path}`, 'create', '--filename=-'] as const;
    const { stdout, stderr } = await attempt(argv, {
      input: `{apiVersion: v1, kind: Node, metadata: {name: ${name}}}`,
    });
    return stdout + stderr;
  };
  expect(await create('worker')).toBe('node/worker created\n');
  expect(await create('other')).toContain('Forbidden');
});

test('is not to be reached but by its gate', async () => {
  const listening = await readFile('/proc/net/tcp', 'utf8');
  const hex = (port: number): string => port.toString(16).toUpperCase().padStart(4, '0');
  for (const port of [2379, 2380, API_PORT]) expect(listening).not.toContain(`:${hex(port)} 00000000:0000 0A`);
});

test('leaves nothing', async () => {
  const { dir } = plane;
  await plane.stop();
  expect(existsSync(dir)).toBe(false);
  const processes = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const commands = await Promise.all(processes.map((pid) => readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')));
  expect(commands.filter((command) => command.includes(dir))).toEqual([]);
});
