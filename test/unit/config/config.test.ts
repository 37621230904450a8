import { expect, test } from 'vitest';
import { loadWhereabouts, readConfig, readWhereabouts } from '../../../src/config/config.ts';

const file = (text: string) => ({ path: 'config.yaml', text });
const MINIMAL = 'node: from-file\npools: [{ name: a, volumeGroup: vg_a }]\n';

test('flags come before environment before file before defaults', () => {
  const sources = {
    flags: { node: 'from-flag' },
    env: { SNAPMERGE_NODE: 'from-env', SNAPMERGE_LOG_LEVEL: 'debug' },
    file: file(`${MINIMAL}logLevel: warn\nreserve: 25%\n`),
  };
  expect(readConfig(sources)).toEqual({
    node: 'from-flag',
    socket: '/run/snapmerge/csi.sock',
    pools: [{ name: 'a', volumeGroup: 'vg_a' }],
    reservePercent: 25,
    maxVolumes: 0,
    logLevel: 'debug',
  });
});

test('pools of the environment, and the endpoint as the standard writes it', () => {
  const env = {
    SNAPMERGE_POOLS: 'fast=vg0,slow=vg1:/var/lib/pool:1.img,try=vg2:/var/lib/a@b/try.img@10Gi',
    CSI_ENDPOINT: 'unix:///csi/csi.sock',
    SNAPMERGE_NODE: 'n',
  };
  const { pools, socket } = readConfig({ flags: {}, env, file: undefined });
  expect(pools).toEqual([
    { name: 'fast', volumeGroup: 'vg0' },
    { name: 'slow', volumeGroup: 'vg1', loopFile: '/var/lib/pool:1.img' },
    { name: 'try', volumeGroup: 'vg2', loopFile: '/var/lib/a@b/try.img', loopSize: 10n * 1024n ** 3n },
  ]);
  expect(socket).toBe('/csi/csi.sock');
});

test('probes and registration are off unless they are configured', () => {
  const off = readConfig({ flags: {}, env: {}, file: file(MINIMAL) });
  expect([off.http, off.registration]).toEqual([undefined, undefined]);
  const env = {
    SNAPMERGE_REGISTRATION_SOCKET: '/registration/snapmerge.sock',
    SNAPMERGE_HTTP_ADDRESS: ':9808',
  };
  const on = readConfig({ flags: {}, env, file: file(MINIMAL) });
  expect(on.http).toEqual({ host: undefined, port: 9808 });
  expect(on.registration).toEqual({ socket: '/registration/snapmerge.sock', endpoint: '/run/snapmerge/csi.sock' });
  const elsewhere = readConfig({
    flags: { kubeletSocket: '/var/lib/kubelet/plugins/csi.sock', httpAddress: '[::1]:80' },
    env,
    file: file(MINIMAL),
  });
  expect(elsewhere.http).toEqual({ host: '::1', port: 80 });
  expect(elsewhere.registration?.endpoint).toBe('/var/lib/kubelet/plugins/csi.sock');
});

test.each([
  [`${MINIMAL}httpAddress: 9808`, 'httpAddress'],
  [`${MINIMAL}httpAddress: "::1:80"`, 'httpAddress: want :PORT'],
  [`${MINIMAL}httpAddress: ":99999"`, 'httpAddress: want a port'],
  [`${MINIMAL}registrationSocket: reg.sock`, 'registrationSocket: want an absolute path'],
  ['pools: []', 'pools: want at least one pool'],
  ['node: n', 'pools: want at least one pool'],
  [`${MINIMAL}colour: blue`, 'colour'],
  ['pools: [{ name: A_B, volumeGroup: v }]', 'pools.0.name: want 1 to 32 characters'],
  ['pools: [{ name: a, volumeGroup: ../v }]', 'pools.0.volumeGroup: want the name of a volume group'],
  ['pools: [{ name: a, volumeGroup: v }, { name: a, volumeGroup: w }]', 'two pools have one name'],
  ['pools: [{ name: a, volumeGroup: v }, { name: b, volumeGroup: v }]', 'two pools have one group'],
  ['pools: [{ name: a, volumeGroup: v, loopFile: pool.img }]', 'pools.0.loopFile: want an absolute path'],
  ['pools: [{ name: a, volumeGroup: v, loopSize: 1Gi }]', 'loopSize goes with a loopFile'],
  ['pools: [{ name: a, volumeGroup: v, loopFile: /x, loopSize: many }]', 'loopSize: want a size such as 10Gi'],
  [`${MINIMAL}reserve: 100%`, 'reserve: want a share of the pool'],
  [`${MINIMAL}reserve: 100`, 'reserve'],
  [`${MINIMAL}socket: csi.sock`, 'socket: want an absolute path'],
  [`${MINIMAL}socket: /${'x'.repeat(100)}`, 'socket: want at most 96 bytes'],
  [`${MINIMAL}logLevel: loud`, 'logLevel'],
  [MINIMAL.replace('from-file', 'n'.repeat(64)), 'node: want 1 to 63'],
  ['- a', 'want keys and values'],
  ['a: [', 'as YAML'],
])('refuses %j', (text, message) => {
  expect(() => readConfig({ flags: {}, env: {}, file: file(text) })).toThrow(message);
});

test('the command line needs no pools, and nothing that only the driver needs', async () => {
  expect(readWhereabouts({ flags: {}, env: {}, file: undefined })).toEqual({
    socket: '/run/snapmerge/csi.sock',
    pools: [],
  });
  const sources = { flags: { socket: 'unix:///s' }, env: {}, file: file(`${MINIMAL}reserve: nonsense`) };
  expect(readWhereabouts(sources)).toEqual({ socket: '/s', pools: [{ name: 'a', volumeGroup: 'vg_a' }] });
  expect(() => readWhereabouts({ flags: { socket: 'relative' }, env: {}, file: undefined })).toThrow(
    'socket: want an absolute path',
  );
  await expect(loadWhereabouts({}, { SNAPMERGE_CONFIG: '/nowhere.yaml' })).rejects.toThrow('Cannot read');
});
