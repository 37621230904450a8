// What `./dev test` runs: every suite as commands of its own, each with the way its counts are read.

import type { BedKind } from '../../vm/state.ts';

export type Counting =
  /** vitest's JSON report. */
  | 'vitest'
  /** Lines `csi-sanity ACCESS: N passed, N failed, N skipped`. */
  | 'csi-sanity'
  /** One check, passed when the command ends with 0. */
  | 'exit-code';

export interface Part {
  readonly name: string;
  readonly argv: readonly [string, ...string[]];
  readonly counting: Counting;
  readonly env?: Readonly<Record<string, string>>;
  /** Where guests are of this bed anyway it would only repeat another part. */
  readonly notOn?: BedKind;
}

/** Which machine the guests of a suite are: what this machine's are, or one of the two. */
export type GuestsOn = 'chosen' | BedKind;

export interface Suite {
  readonly name: string;
  readonly summary: string;
  readonly parts: readonly Part[];
  /** Of suites that start guests. */
  readonly guests?: GuestsOn;
}

/** A program of a package, without npx: that would start it as a grandchild, which no signal of ours reaches. */
const installed = (program: string): string => `node_modules/.bin/${program}`;

const vitest = (name: string, ...paths: readonly string[]): Part => ({
  name,
  argv: [installed('vitest'), 'run', ...paths],
  counting: 'vitest',
});

/** vitest leaves a core to itself, of two the half: what starts no guests takes them all. */
const vitestOnAllCores = (name: string, ...paths: readonly string[]): Part =>
  vitest(name, ...paths, '--maxWorkers=100%');

const check = (name: string, program: string, ...args: readonly string[]): Part => ({
  name,
  argv: [installed(program), ...args],
  counting: 'exit-code',
});

const sanity = (access: string): Part => ({
  name: `csi-${access}`,
  argv: ['node', 'test/csi/sanity.ts', '--access', access, '--name', `csi-${access}`],
  counting: 'csi-sanity',
});

/** Names of guests are those of other parts, so they are kept elsewhere. Numbers are small, because it runs beside all the rest. */
const onBed =
  (bed: BedKind, settings: Readonly<Record<string, string>>) =>
  (name: string, path: string, few: Readonly<Record<string, string>> = {}, ...args: readonly string[]): Part => ({
    ...vitest(`${bed}-${name}`, path, ...args),
    notOn: bed,
    env: {
      // Whoever asks for other numbers means these tests, too.
      ...Object.fromEntries(Object.entries(few).map(([key, value]) => [key, process.env[key] ?? value])),
      ...settings,
      SNAPMERGE_GUEST: bed,
      SNAPMERGE_GUESTS: `guests-${bed}`,
    },
  });

/** Of QEMU; User Mode Linux has one. A second one meets a suspend, a copy or a table in the middle. */
const TWO_PROCESSORS = { SNAPMERGE_CPUS: '2' };
const withTwo = (part: Part): Part => ({ ...part, env: TWO_PROCESSORS });

/** On Debian's own kernel, with two processors: what User Mode Linux cannot show. */
const onQemu = onBed('qemu', TWO_PROCESSORS);
const onUml = onBed('uml', {});

/** Of the contract what another kernel or processor may meet: rules of the kernel, other programs, merges under writes. */
const SHORT_CONTRACT = [
  'rules',
  'strangers',
  'families .*merged into by its one reader, under writes',
  'families restore to an older snapshot',
  'families a power cut in a restore',
  'families a mounted fork is promoted under writes',
].join('|');

export const SUITES: readonly Suite[] = [
  {
    name: 'check',
    summary: 'types, lint, format, nothing unused',
    parts: [
      check('types', 'tsc', '--noEmit'),
      check('lint', 'oxlint', '--type-aware', '--deny-warnings'),
      check('format', 'prettier', '--check', '.'),
      check('unused', 'knip'),
    ],
  },
  { name: 'unit', summary: 'pure code and parsers', parts: [vitestOnAllCores('unit', 'test/unit')] },
  {
    name: 'deploy',
    summary: "the driver's image and the manifests",
    parts: [vitest('deploy', 'test/deploy')],
  },
  { name: 'sim', summary: 'the engine on the simulated node', parts: [vitestOnAllCores('sim', 'test/sim')] },
  {
    name: 'kernel',
    summary: 'adapters, contract, random operations, power cuts and faults on a real kernel, in guests',
    guests: 'chosen',
    parts: [
      withTwo(vitest('random', 'test/kernel/random.test.ts')),
      withTwo(vitest('cuts', 'test/kernel/cuts.test.ts')),
      vitest('faults', 'test/kernel/faults.test.ts'),
      vitest('contract', 'test/kernel/contract.test.ts'),
      vitest('tails', 'test/kernel/tails.test.ts'),
      withTwo(vitest('adapters', 'test/kernel/adapters.test.ts', 'test/kernel/guests.test.ts')),
      // User Mode Linux panics with far fewer (docs/kernel-rules.md, Depth).
      { ...vitest('depth', 'test/kernel/depth.test.ts'), env: { SNAPMERGE_GUEST: 'qemu', ...TWO_PROCESSORS } },
    ],
  },
  {
    name: 'csi',
    summary: 'workloads, the command line, counted costs and csi-sanity against the bundle in guests',
    guests: 'chosen',
    parts: [
      vitest('csi-use', 'test/csi/use.test.ts'),
      vitest('csi-restores', 'test/csi/restores.test.ts'),
      vitest('csi-cli', 'test/csi/cli.test.ts'),
      vitest('csi-costs', 'test/csi/costs.test.ts'),
      sanity('mount'),
      sanity('block'),
    ],
  },
  {
    name: 'qemu',
    summary: "a short run on Debian's own kernel with two processors, where guests run on something else",
    guests: 'qemu',
    parts: [
      onQemu('contract', 'test/kernel/contract.test.ts', {}, '--testNamePattern', `^(${SHORT_CONTRACT})`),
      onQemu('adapters', 'test/kernel/adapters.test.ts'),
      onQemu('guests', 'test/kernel/guests.test.ts'),
      onQemu('random', 'test/kernel/random.test.ts', { SNAPMERGE_SEEDS: '2', SNAPMERGE_OPERATIONS: '30' }),
      onQemu('cuts', 'test/kernel/cuts.test.ts', { SNAPMERGE_CUTS: '8' }),
    ],
  },
  {
    name: 'uml',
    summary: 'a short run on User Mode Linux, where guests run on something else',
    guests: 'uml',
    parts: [
      onUml('contract', 'test/kernel/contract.test.ts', {}, '--testNamePattern', `^(${SHORT_CONTRACT})`),
      onUml('guests', 'test/kernel/guests.test.ts'),
      onUml('cuts', 'test/kernel/cuts.test.ts', { SNAPMERGE_CUTS: '4' }),
    ],
  },
];
