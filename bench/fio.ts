// fio's options and what it answers, pure. All jobs of one call run one after the other on one device.

import { z } from 'zod';

export interface Job {
  readonly name: string;
  readonly options: Readonly<Record<string, string | number>>;
}

const side = z.object({
  iops: z.number(),
  bw_bytes: z.number(),
  runtime: z.number(),
  total_ios: z.number(),
  lat_ns: z.object({ max: z.number() }),
  clat_ns: z.object({ percentile: z.record(z.string(), z.number()).optional() }),
});
const report = z.object({
  jobs: z.array(z.object({ jobname: z.string(), error: z.number(), read: side, write: side })),
});

export interface JobResult {
  readonly iops: number;
  readonly bytesPerSecond: number;
  readonly p99Ms: number;
  readonly longestMs: number;
}

/** Past the page cache, because volumes over the same bytes do not share one. */
const ALWAYS = { direct: 1, ioengine: 'libaio', iodepth: 4, group_reporting: 0, buffer_pattern: '0x5eed5eed' };

export function fioArgv(jobs: readonly Job[], more: readonly string[] = []): readonly string[] {
  const words = (options: Job['options']): readonly string[] =>
    Object.entries(options).map(([name, value]) => `--${name}=${value}`);
  const each = jobs.flatMap(({ name, options }) => [`--name=${name}`, ...words(options)]);
  return ['fio', '--output-format=json', ...more, ...words(ALWAYS), ...each];
}

/** By the names of the jobs. A job that met an error is none that was measured. */
export function parseFio(text: string): ReadonlyMap<string, JobResult> {
  // Warnings come before it, on the same stream.
  const { jobs } = report.parse(JSON.parse(text.slice(text.indexOf('{'))));
  return new Map(
    jobs.map(({ jobname, error, read, write }) => {
      if (error !== 0) throw new Error(`Cannot measure '${jobname}': fio met error ${error}`);
      const { iops, bw_bytes, lat_ns, clat_ns } = write.total_ios > 0 ? write : read;
      const p99Ns = clat_ns.percentile?.['99.000000'] ?? NaN;
      return [jobname, { iops, bytesPerSecond: bw_bytes, p99Ms: p99Ns / 1e6, longestMs: lat_ns.max / 1e6 }] as const;
    }),
  );
}

export function resultOf(results: ReadonlyMap<string, JobResult>, name: string): JobResult {
  const found = results.get(name);
  if (found === undefined) throw new Error(`Cannot find job '${name}' in what fio says`);
  return found;
}

/**
 * Writes of so many bytes at these places, in this order: what fio draws itself would meet some places twice and others
 * never. fio's own format, version 2.
 */
export function replayLog(device: string, offsets: readonly number[], bytes: number): string {
  const writes = offsets.map((offset) => `${device} write ${offset} ${bytes}`);
  return ['fio version 2 iolog', `${device} add`, `${device} open`, ...writes, `${device} close`, ''].join('\n');
}

/** All whole numbers below `count`, each once, in an order that is the same every time. */
export function shuffled(count: number): readonly number[] {
  // A step without a common divisor visits every place; one near the golden section leaves no neighbours together.
  let step = Math.max(1, Math.round(count * 0.618));
  while (divisor(step, count) !== 1) step += 1;
  return Array.from({ length: count }, (_, index) => (index * step) % count);
}

function divisor(a: number, b: number): number {
  return b === 0 ? a : divisor(b, a % b);
}
