// The driver's image: that it is the same each time, that engines can read it, and that what the driver calls is in it and
// finds its libraries there.

import { mkdtemp, mkdir, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { z } from 'zod';
import {
  DEFAULT_REFERENCE,
  baseLayer,
  buildBaseLayer,
  driverImage,
  readBaseLayer,
} from '../../tools/image/driver-image.ts';
import { DRIVER_PROGRAMS, OPERATOR_PROGRAMS, driverDebs } from '../../tools/image/driver-root.ts';
import { ociArchive, sha256 } from '../../tools/image/oci.ts';
import { run } from '../../tools/run.ts';

const ROOT = join(import.meta.dirname, '../..');
/** Debian's packages are downloaded on the way. */
const BUILD_LIMIT_MS = 10 * 60_000;

let folder = '';
/** The image's tree, as an engine would make it. */
let tree = '';

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'snapmerge-image-'));
  tree = join(folder, 'tree');
  await mkdir(tree);
  const { layers } = await driverImage(DEFAULT_REFERENCE);
  for (const { content } of layers) await run(['tar', '-xz', '-C', tree], { input: content });
}, BUILD_LIMIT_MS);
afterAll(async () => {
  await rm(folder, { recursive: true });
});

test('the same packages and sources make the same bytes', { timeout: BUILD_LIMIT_MS }, async () => {
  const again = join(folder, 'again');
  await buildBaseLayer(again, await driverDebs());
  const [first, second] = [await baseLayer(), await readBaseLayer(again)];
  expect(second.layer.diffId).toBe(first.layer.diffId);
  expect(sha256(second.layer.content)).toBe(sha256(first.layer.content));
  expect(second.packages).toBe(first.packages);

  const [one, two] = [await driverImage(DEFAULT_REFERENCE), await driverImage(DEFAULT_REFERENCE)];
  expect(two.digest).toBe(one.digest);
  expect(two.content.equals(one.content)).toBe(true);
});

const descriptor = z.object({ mediaType: z.string(), digest: z.string(), size: z.number() });

test('the archive is an OCI layout and what docker loads, over the same blobs', async () => {
  const content = Buffer.from('layer');
  const packed = Buffer.from('packed');
  const { content: archive, digest } = ociArchive([{ content: packed, diffId: sha256(content), createdBy: 'test' }], {
    reference: 'localhost/x:1',
    entrypoint: ['/x'],
    env: ['A=b'],
    labels: { l: 'v' },
  });
  const dir = join(folder, 'layout');
  await mkdir(dir);
  await run(['tar', '-x', '-C', dir], { input: archive });
  const parsed = async <S extends z.ZodType>(path: string, schema: S) =>
    schema.parse(JSON.parse(await readFile(join(dir, path), 'utf8')));
  const at = ({ digest }: { readonly digest: string }) => `blobs/${digest.replace(':', '/')}`;

  expect(await readdir(dir)).toEqual(['blobs', 'index.json', 'manifest.json', 'oci-layout']);
  const index = await parsed(
    'index.json',
    z.object({ manifests: z.array(descriptor.extend({ annotations: z.record(z.string(), z.string()) })) }),
  );
  const [found] = index.manifests;
  if (found === undefined) throw new Error('no manifest');
  expect(found.digest).toBe(digest);
  expect(found.annotations['io.containerd.image.name']).toBe('localhost/x:1');
  const manifest = await parsed(at(found), z.object({ config: descriptor, layers: z.array(descriptor) }));
  for (const one of [found, manifest.config, ...manifest.layers]) {
    const blob = await readFile(join(dir, at(one)));
    expect([sha256(blob), blob.length]).toEqual([one.digest, one.size]);
  }
  expect(await parsed(at(manifest.config), z.unknown())).toMatchObject({
    architecture: 'amd64',
    os: 'linux',
    config: { Entrypoint: ['/x'], Env: ['A=b'], Labels: { l: 'v' } },
    rootfs: { type: 'layers', diff_ids: [sha256(content)] },
  });
  expect(await parsed('manifest.json', z.unknown())).toEqual([
    { Config: at(manifest.config), RepoTags: ['localhost/x:1'], Layers: manifest.layers.map(at) },
  ]);
});

/** The first words of argv arrays in a source: what is called there. */
function calledIn(source: string): readonly string[] {
  const calls = source.matchAll(
    /(?:\b(?:exec|output|run|lines)\((?:exec, )?|Argv = .*?|return |grep = )\[\s*'([a-z0-9][a-z0-9._-]*)',/g,
  );
  return [...calls].flatMap(([, name]) => name ?? []);
}

test('every program that the sources call is in the list of the image', async () => {
  expect(calledIn("await output(exec, ['dmsetup', 'ls'])")).toEqual(['dmsetup']);
  const sources = (await readdir(join(ROOT, 'src'), { recursive: true })).filter((name) => name.endsWith('.ts'));
  const called = new Set<string>();
  for (const source of sources) {
    for (const name of calledIn(await readFile(join(ROOT, 'src', source), 'utf8'))) called.add(name);
  }
  expect(called.size).toBeGreaterThan(15);
  expect([...called].filter((name) => !DRIVER_PROGRAMS.includes(name))).toEqual([]);
});

test('every program and library in it finds its libraries in it', async () => {
  const list = join(folder, 'elf-files');
  await writeFile(list, '');
  const files = (await readdir(tree, { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile());
  const elf = Buffer.from([0x7f, 0x45, 0x4c, 0x46]);
  let looked = 0;
  for (const { parentPath, name } of files) {
    const path = join(parentPath, name);
    const content = await readFile(path);
    // The loader itself needs nobody.
    if (!content.subarray(0, 4).equals(elf) || name.startsWith('ld-linux')) continue;
    looked += 1;
    const needs = await run(['chroot', tree, '/usr/lib64/ld-linux-x86-64.so.2', '--list', path.slice(tree.length)]);
    expect(needs).not.toContain('not found');
  }
  expect(looked).toBeGreaterThan(DRIVER_PROGRAMS.length);
});

test('the programs are there, the driver starts, and nothing in it is set-uid', async () => {
  const chroot = async (...argv: readonly string[]) => run(['chroot', tree, '/usr/bin/env', ...argv], { env: PATH });
  for (const name of [...DRIVER_PROGRAMS, ...OPERATOR_PROGRAMS]) {
    expect(await chroot('sh', '-c', `command -v ${name}`)).toContain(name);
  }
  expect((await chroot('snapmerge', '--version')).trim()).toBe('0.1.0');
  const config = '/tmp/config.yaml';
  await writeFile(join(tree, config), 'node: n\npools: [{ name: a, volumeGroup: v }]\n');
  expect(await chroot('snapmerge', 'serve', '--config', config, '--check-config')).toContain('"volumeGroup": "v"');
  expect(await run(['find', tree, '-perm', '/6000'])).toBe('');
  // LVM looks into /proc before anything else.
  const withProc = 'mount --bind /proc "$1/proc" && exec chroot "$1" /usr/bin/env lvm config global/use_aio';
  const setting = await run(['unshare', '--mount', 'sh', '-c', withProc, 'sh', tree], { env: PATH });
  expect(setting.trim()).toBe('use_aio=0');

  // A file system made with the image's own settings and programs.
  await run(['truncate', '--size', '64M', join(tree, 'tmp/disk')]);
  await chroot('mkfs.ext4', '-q', '-F', '/tmp/disk');
  expect(await chroot('blkid', '--probe', '--output', 'export', '/tmp/disk')).toContain('TYPE=ext4');
});

const PATH = { PATH: '/usr/local/bin:/usr/sbin:/usr/bin', NODE_EXTRA_CA_CERTS: '' };

test('licences and the record of packages go with it', async () => {
  const { packages } = await baseLayer();
  for (const line of packages.trim().split('\n')) {
    const [name = '', version = ''] = line.split(' ');
    const record = await readFile(join(tree, 'var/lib/dpkg/status.d', name), 'utf8');
    expect(record).toContain(`Version: ${version}\n`);
    expect((await readFile(join(tree, 'usr/share/doc', name, 'copyright'))).length).toBeGreaterThan(100);
  }
  expect(packages).toContain('lvm2 ');
  const thirdParty = await readFile(join(tree, 'opt/snapmerge/THIRD-PARTY-LICENSES'), 'utf8');
  for (const name of ['@grpc/grpc-js', 'zod', 'pino']) expect(thirdParty).toContain(`${name} `);
  expect(await readFile(join(tree, 'usr/share/doc/node/LICENSE'), 'utf8')).toContain('Node.js');
});

test('the Containerfile is made of the same parts', async () => {
  const text = await readFile(join(ROOT, 'deploy/image/Containerfile'), 'utf8');
  expect(text).toContain(`FROM node:${process.version.slice(1)}-trixie-slim`);
  expect(text).toContain('deploy/image/packages.txt');
  const { layers } = await driverImage(DEFAULT_REFERENCE);
  const ours = gunzipSync(layers.at(-1)?.content ?? Buffer.alloc(0));
  await run(['node', join(ROOT, 'tools/image/write-driver.ts'), join(folder, 'out')]);
  const written = await readFile(join(folder, 'out/opt/snapmerge/snapmerge.mjs'));
  expect(ours.includes(written)).toBe(true);
});
