// What a row leaves behind: figures, words about them, and plots, as values that are written to a file and read again, so
// that the page can be made from rows measured one after the other.

import { z } from 'zod';

const spread = z.object({
  median: z.number(),
  low: z.number(),
  high: z.number(),
  rounds: z.number(),
  sure: z.object({ from: z.number(), to: z.number() }).optional(),
});

const figure = z.object({
  /** Of what: `16 snapshots, random 4k, IOPS`. */
  what: z.string(),
  ours: z.string(),
  against: z.string(),
  /** Ours divided by theirs, or a value by itself where `unit` says in what. */
  ratio: spread,
  unit: z.string().optional(),
  wanted: z
    .object({ atLeast: z.number().optional(), atMost: z.number().optional(), always: z.boolean().optional() })
    .optional(),
});

const plot = z.object({
  /** Of the file, without ending. */
  name: z.string(),
  title: z.string(),
  x: z.string(),
  y: z.string(),
  ticks: z.array(z.string()),
  logarithmic: z.boolean(),
  /** A value for each tick; null where nothing was measured. */
  series: z.array(z.object({ name: z.string(), values: z.array(spread.nullable()) })),
});

const about = z.object({
  /** `guest` or `host`. */
  where: z.string(),
  emulated: z.boolean(),
  kernel: z.string(),
  versions: z.array(z.string()),
});

/** How quiet it was before and after a row. */
const quiet = z.object({
  /** The same job against itself, on devices where nothing happens. */
  nulls: z.array(z.object({ what: z.string(), ratio: spread })),
  /** Milliseconds by which a process that slept for one came late, at worst. */
  gapMs: z.number(),
});

export const record = z.object({
  row: z.number(),
  title: z.string(),
  wanted: z.string(),
  quick: z.boolean(),
  day: z.string(),
  seconds: z.number(),
  /** Of this machine, over a minute: when the row began and when it ended. */
  load: z.tuple([z.number(), z.number()]),
  cores: z.number(),
  about,
  quiet: quiet.optional(),
  figures: z.array(figure),
  notes: z.array(z.string()),
  plots: z.array(plot),
});

export type Figure = z.infer<typeof figure>;
export type Plot = z.infer<typeof plot>;
export type Quiet = z.infer<typeof quiet>;
export type About = z.infer<typeof about>;
export type RowRecord = z.infer<typeof record>;
