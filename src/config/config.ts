// The configuration: flags before environment before file before defaults, one schema for all of them. What is wrong is
// said with the name that its place uses.

import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { parse as parseYaml } from 'yaml';
import { z } from 'zod';
import { SnapmergeError, fail, messageOf } from '../vocabulary/errors.ts';
import { isPoolName } from '../vocabulary/ids.ts';
import type { PoolName } from '../vocabulary/ids.ts';
import { LOG_LEVELS } from '../system/log.ts';
import type { LogLevel } from '../system/log.ts';
import type { Bytes } from '../vocabulary/units.ts';
import { parseQuantity } from '../vocabulary/units.ts';
import type { HttpAddress } from '../transport/http.ts';

export interface PoolConfig {
  readonly name: PoolName;
  readonly volumeGroup: string;
  /** The file of a pool on a loop device: attached before the group is looked for, because a reboot forgets it. */
  readonly loopFile?: string | undefined;
  /** Size of the loop file where there is none: it is then made, and the volume group on it. */
  readonly loopSize?: Bytes | undefined;
}

export interface Config {
  /** Name of this node: the value of the topology key. */
  readonly node: string;
  readonly socket: string;
  /** The first one is used where a StorageClass names none. */
  readonly pools: readonly PoolConfig[];
  /** Share of each pool, in percent, that new volumes may not take: room for snapshots to grow into. */
  readonly reservePercent: number;
  /** Most volumes that the scheduler puts on this node; 0: no limit. */
  readonly maxVolumes: number;
  readonly logLevel: LogLevel;
  /** Where probes and metrics are served; undefined: nowhere. */
  readonly http: HttpAddress | undefined;
  /** How the kubelet learns of this driver; undefined: by somebody else, or not at all. */
  readonly registration: RegistrationConfig | undefined;
  /** Where VolumeRestore objects are: `in-cluster`, or the path of a kubeconfig. Undefined: they are not looked for. */
  readonly kubernetes: string | undefined;
}

export interface RegistrationConfig {
  /** Our socket in the kubelet's plugins_registry folder. */
  readonly socket: string;
  /** Path of the CSI socket as the kubelet sees it. */
  readonly endpoint: string;
}

const NODE = /^[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$/;

/** What LVM takes as a name of a volume group. */
const VOLUME_GROUP = /^[A-Za-z0-9_.+][A-Za-z0-9_.+-]{0,126}$/;

const HTTP_ADDRESS = /^([A-Za-z0-9.-]*|\[[0-9A-Fa-f:.]+\]):\d{1,5}$/;

/** sun_path holds 108 bytes, and the socket is made under a longer name first. */
const MAX_SOCKET_BYTES = 96;

const size = z.string().transform((text, context) => {
  const value = parseQuantity(text);
  if (value !== undefined) return value;
  context.addIssue({ code: 'custom', message: 'want a size such as 10Gi' });
  return z.NEVER;
});

const pool = z
  .strictObject({
    name: z.string().refine(isPoolName, "want 1 to 32 characters of a-z, 0-9 and '-'"),
    volumeGroup: z.string().regex(VOLUME_GROUP, 'want the name of a volume group'),
    loopFile: z.string().startsWith('/', 'want an absolute path').optional(),
    loopSize: size.optional(),
  })
  .refine(
    ({ loopFile, loopSize }) => loopFile !== undefined || loopSize === undefined,
    'loopSize goes with a loopFile',
  );

const percent = z
  .union([z.string().regex(/^\d{1,2}%$/, 'want a share of the pool, such as 10%'), z.int().min(0).max(99)])
  .transform((value) => Number(String(value).replace('%', '')));

const socketPath = z
  .string()
  .transform((value) => value.replace(/^unix:(\/\/)?(?=\/)/, ''))
  .refine((value) => value.startsWith('/') && !value.includes('/../'), 'want an absolute path')
  .refine((value) => Buffer.byteLength(value) <= MAX_SOCKET_BYTES, `want at most ${MAX_SOCKET_BYTES} bytes`);

const httpAddress = z
  .string()
  .regex(HTTP_ADDRESS, 'want :PORT, ADDRESS:PORT or [IPV6]:PORT')
  .transform((value): HttpAddress => {
    const at = value.lastIndexOf(':');
    const host = value.slice(0, at).replace(/^\[(.*)\]$/, '$1');
    return { host: host === '' ? undefined : host, port: Number(value.slice(at + 1)) };
  })
  .refine(({ port }) => port <= 65535, 'want a port of at most 65535');

const schema = z.strictObject({
  node: z.string().regex(NODE, "want 1 to 63 letters, digits, '-', '_' and '.', as in a node label").default(hostname),
  socket: socketPath.default('/run/snapmerge/csi.sock'),
  pools: z
    .array(pool, 'want at least one pool, with name and volumeGroup')
    .min(1, 'want at least one pool, with name and volumeGroup')
    .refine((pools) => new Set(pools.map(({ name }) => name)).size === pools.length, 'two pools have one name')
    .refine((pools) => new Set(pools.map((one) => one.volumeGroup)).size === pools.length, 'two pools have one group'),
  reserve: percent.default(10),
  maxVolumes: z.coerce.number().int().min(0).default(0),
  logLevel: z.enum(LOG_LEVELS).default('info'),
  httpAddress: httpAddress.optional(),
  registrationSocket: socketPath.optional(),
  kubernetes: z
    .string()
    .refine(
      (value) => value === 'off' || value === 'in-cluster' || value.startsWith('/'),
      'want off, in-cluster, or the absolute path of a kubeconfig',
    )
    .default('off'),
  kubeletSocket: socketPath.optional(),
});

type Key = keyof z.input<typeof schema>;

/** Settings as they were found in one place, unchecked. */
export type Settings = Readonly<Partial<Record<Key, unknown>>>;

export interface Sources {
  readonly flags: Settings;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** The file's text and where it lies. */
  readonly file: { readonly path: string; readonly text: string } | undefined;
}

/** Throws `invalid` with everything that is wrong. */
export function readConfig({ flags, env, file }: Sources): Config {
  const merged = { ...fileSettings(file), ...envSettings(env), ...defined(flags) };
  const result = schema.safeParse(merged);
  if (!result.success) return refuse(result.error);
  const { reserve, httpAddress: http, registrationSocket, kubeletSocket, kubernetes, ...rest } = result.data;
  return {
    ...rest,
    reservePercent: reserve,
    http,
    kubernetes: kubernetes === 'off' ? undefined : kubernetes,
    registration:
      registrationSocket === undefined
        ? undefined
        : { socket: registrationSocket, endpoint: kubeletSocket ?? rest.socket },
  };
}

/** What the command line needs of a configuration: where the driver serves, and which pools there may be. */
export type Whereabouts = Pick<Config, 'socket'> & {
  /** Empty where none is configured. */
  readonly pools: readonly PoolConfig[];
};

/** As `readConfig`, with everything left out that only the driver needs. */
export function readWhereabouts({ flags, env, file }: Sources): Whereabouts {
  const { socket, pools } = schema.shape;
  const result = z
    .object({ socket, pools: pools.optional() })
    .safeParse({ ...fileSettings(file), ...envSettings(env), ...defined(flags) });
  if (result.success) return { socket: result.data.socket, pools: result.data.pools ?? [] };
  return refuse(result.error);
}

function refuse(error: z.ZodError): never {
  const wrong = error.issues.map(({ path, message }) => `${path.map(String).join('.')}: ${message}`);
  return fail('invalid', `Cannot use this configuration: ${wrong.join('; ')}`);
}

/** The file of `--config` or SNAPMERGE_CONFIG. */
export async function loadConfig(
  flags: Settings,
  env: Sources['env'],
  path: string | undefined = env['SNAPMERGE_CONFIG'],
): Promise<Config> {
  return readConfig({ flags, env, file: path === undefined || path === '' ? undefined : await readFileOf(path) });
}

/** Where the command line looks when it is told nothing. */
const USUAL_FILE = '/etc/snapmerge/config.yaml';

/** The file of `--config` or SNAPMERGE_CONFIG, or the usual one if it is there. */
export async function loadWhereabouts(
  flags: Settings,
  env: Sources['env'],
  path: string | undefined = env['SNAPMERGE_CONFIG'],
): Promise<Whereabouts> {
  const usual = existsSync(USUAL_FILE) ? USUAL_FILE : undefined;
  const found = path === undefined || path === '' ? usual : path;
  return readWhereabouts({ flags, env, file: found === undefined ? undefined : await readFileOf(found) });
}

async function readFileOf(path: string): Promise<NonNullable<Sources['file']>> {
  const text = await readFile(path, 'utf8').catch((cause: unknown) => {
    throw new SnapmergeError('invalid', `Cannot read the configuration ${path}: ${messageOf(cause)}`, { cause });
  });
  return { path, text };
}

function fileSettings(file: Sources['file']): Settings {
  if (file === undefined) return {};
  const { path, text } = file;
  const content = parsed(path, text);
  if (content === null) return {};
  const settings = z.record(z.string(), z.unknown()).safeParse(content);
  if (!settings.success) fail('invalid', `Cannot use the configuration ${path}: want keys and values`);
  return settings.data;
}

function parsed(path: string, text: string): unknown {
  try {
    return parseYaml(text);
  } catch (cause) {
    return fail('invalid', `Cannot read the configuration ${path} as YAML: ${messageOf(cause)}`, cause);
  }
}

function envSettings(env: Sources['env']): Settings {
  const pools = env['SNAPMERGE_POOLS'];
  return defined({
    node: env['SNAPMERGE_NODE'],
    // The name that the CSI standard gives to the variable comes second.
    socket: env['SNAPMERGE_SOCKET'] ?? env['CSI_ENDPOINT'],
    pools: pools === undefined || pools === '' ? undefined : pools.split(',').map(readPool),
    reserve: env['SNAPMERGE_RESERVE'],
    maxVolumes: env['SNAPMERGE_MAX_VOLUMES'],
    logLevel: env['SNAPMERGE_LOG_LEVEL'],
    httpAddress: env['SNAPMERGE_HTTP_ADDRESS'],
    registrationSocket: env['SNAPMERGE_REGISTRATION_SOCKET'],
    kubernetes: env['SNAPMERGE_KUBERNETES'],
    kubeletSocket: env['SNAPMERGE_KUBELET_SOCKET'],
  });
}

/**
 * `name=volumeGroup`, `name=volumeGroup:/loop/file` or `name=volumeGroup:/loop/file@size`, as flags and environment write a
 * pool; unchecked.
 */
export function readPool(text: string): { readonly name: string; readonly volumeGroup: string } {
  const at = text.indexOf('=');
  if (at === -1) {
    fail(
      'invalid',
      `Cannot take pool '${text}': want NAME=VOLUME_GROUP, and :/LOOP/FILE or :/LOOP/FILE@SIZE where it is on a loop file`,
    );
  }
  const [volumeGroup = '', ...rest] = text.slice(at + 1).split(':');
  const [, loopFile, loopSize] = /^(.*?)(?:@([^@/]*))?$/.exec(rest.join(':')) ?? [];
  return {
    name: text.slice(0, at),
    volumeGroup,
    ...(rest.length === 0 ? {} : { loopFile }),
    ...(loopSize === undefined ? {} : { loopSize }),
  };
}

function defined(settings: Settings): Settings {
  return Object.fromEntries(Object.entries(settings).filter(([, value]) => value !== undefined && value !== ''));
}
