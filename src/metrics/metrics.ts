// What this driver tells Prometheus: what it did, counted as it happens, and what its pools hold, asked when somebody wants
// to know. Nothing in here is read by the driver itself.

import { Counter, Gauge, Histogram, Registry, collectDefaultMetrics } from 'prom-client';
import type { Page } from '../transport/http.ts';
import { GAUGES } from './samples.ts';
import type { GaugeName, Sample } from './samples.ts';

/** How often the lag of the event loop is measured. The library's 10 ms wake an idle driver a hundred times a second. */
const EVENT_LOOP_LOOK_MS = 500;

export type Outcome = 'ok' | 'error';

export interface Metrics {
  /** A call ended; `code` as gRPC names it. */
  readonly called: (method: string, code: string, seconds: number) => void;
  /** A command of this machine ended. */
  readonly ran: (command: string, exitCode: number | undefined, seconds: number) => void;
  /** A step of converging ended. */
  readonly stepped: (pool: string, step: string, outcome: Outcome, seconds: number) => void;
  /** A volume could not be written for so long, because its tables were changed. */
  readonly paused: (pool: string, seconds: number) => void;
  /** The monitor looked at all stores. */
  readonly looked: (pool: string, outcome: Outcome, seconds: number) => void;
  /** Everything, as Prometheus reads it. `registered`: whether the kubelet knows this driver; undefined where it is not told. */
  readonly page: (samples: readonly Sample[], registered: boolean | undefined) => Promise<Page>;
}

/** From LVM on an idle disk to zeroing on a slow one. */
const CALL_BUCKETS = [0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300];
const COMMAND_BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 30];
/** A pause is what an application feels. */
const PAUSE_BUCKETS = [0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1, 2, 5];

export function createMetrics(version: string): Metrics {
  const registry = new Registry();
  const registers = [registry];
  collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: EVENT_LOOP_LOOK_MS });
  new Gauge({
    name: 'snapmerge_build_info',
    help: 'Version of the driver and of what runs it; always 1.',
    labelNames: ['version', 'node_version'],
    registers,
  }).set({ version, node_version: process.version }, 1);
  const histogram = <L extends string>(name: string, help: string, labelNames: readonly L[], buckets: number[]) =>
    new Histogram({ name, help, labelNames, buckets, registers });
  const calls = histogram(
    'snapmerge_rpc_duration_seconds',
    'Calls by method and result.',
    ['method', 'code'],
    CALL_BUCKETS,
  );
  const commands = histogram(
    'snapmerge_command_duration_seconds',
    'Commands of the node (lvm, dmsetup, mkfs...) by their exit code; none: ended otherwise.',
    ['command', 'exit_code'],
    COMMAND_BUCKETS,
  );
  const steps = histogram(
    'snapmerge_converge_step_duration_seconds',
    'Steps that bring device-mapper to what the records say.',
    ['pool', 'step', 'outcome'],
    COMMAND_BUCKETS,
  );
  const pauses = histogram(
    'snapmerge_pause_duration_seconds',
    'How long a volume stood still while its tables were changed.',
    ['pool'],
    PAUSE_BUCKETS,
  );
  const looks = histogram(
    'snapmerge_monitor_look_duration_seconds',
    'Looks of the monitor at all stores of a pool.',
    ['pool', 'outcome'],
    COMMAND_BUCKETS,
  );
  const lastLook = new Gauge({
    name: 'snapmerge_monitor_last_look_timestamp_seconds',
    help: 'When the monitor last looked with success.',
    labelNames: ['pool'],
    registers,
  });
  const registration = new Gauge({
    name: 'snapmerge_kubelet_registered',
    help: 'Whether the kubelet knows this driver; not there where nobody is to tell it.',
    labelNames: [],
    registers,
  });
  const scrapes = new Counter({
    name: 'snapmerge_scrapes_total',
    help: 'How often all of this was asked for: each is a look at LVM and the kernel.',
    registers,
  });
  const gauges = new Map<GaugeName, Gauge>();
  for (const [name, { help, labels }] of entriesOf(GAUGES)) {
    gauges.set(name, new Gauge({ name, help, labelNames: [...labels], registers }));
  }
  return {
    called: (method, code, seconds) => calls.observe({ method, code }, seconds),
    ran: (command, code, seconds) => commands.observe({ command, exit_code: code ?? 'none' }, seconds),
    stepped: (pool, step, outcome, seconds) => steps.observe({ pool, step, outcome }, seconds),
    paused: (pool, seconds) => pauses.observe({ pool }, seconds),
    looked: (pool, outcome, seconds) => {
      looks.observe({ pool, outcome }, seconds);
      if (outcome === 'ok') lastLook.setToCurrentTime({ pool });
    },
    page: async (samples, registered) => {
      scrapes.inc();
      registration.reset();
      if (registered !== undefined) registration.set({}, registered ? 1 : 0);
      // What is gone must not be told any more.
      for (const gauge of gauges.values()) gauge.reset();
      for (const { gauge, labels, value } of samples) gauges.get(gauge)?.set({ ...labels }, value);
      return { status: 200, contentType: registry.contentType, body: await registry.metrics() };
    },
  };
}

function entriesOf<K extends string, V>(object: Readonly<Record<K, V>>): readonly (readonly [K, V])[] {
  const isKey = (key: string): key is K => Object.hasOwn(object, key);
  return Object.keys(object)
    .filter(isKey)
    .map((key) => [key, object[key]] as const);
}
