// Restores as lines with a bar: percent, bytes left, rate, time left. What the driver does not say of the rate is worked
// out from what it said before. Pure.

import { z } from 'zod';
import { bytes } from '../vocabulary/units.ts';
import type { Bytes } from '../vocabulary/units.ts';
import type { Colour, Style } from './terminal.ts';
import { paint } from './terminal.ts';
import { durationOf, percentOf, roughBytes } from './words.ts';

const size = z.string().transform((text): Bytes => bytes(BigInt(text)));
/** A field that only newer drivers have; 0 is not known. */
const figure = z
  .union([z.string(), z.number()])
  .nullish()
  .transform((value) => (value === undefined || value === null || Number(value) <= 0 ? undefined : Number(value)));

/** What the command line reads of RestoreState. */
export const restoreState = z
  .object({
    restore_id: z.string(),
    volume_id: z.string(),
    snapshot_id: z.string(),
    phase: z.string(),
    safety_snapshot_id: z.string(),
    total_bytes: size,
    remaining_bytes: size,
    message: z.string(),
    mode: z.string(),
    bytes_per_second: figure,
  })
  .transform((state) => ({
    id: state.restore_id,
    volume: state.volume_id,
    snapshot: state.snapshot_id,
    /** `origin`, `onactivate`, or `snapshot`: a promotion. */
    mode: state.mode.replace('RESTORE_MODE_', '').toLowerCase(),
    /** `waiting`, `merging`, `done`, `failed`, or a word of a newer driver. */
    phase: state.phase.replace('RESTORE_PHASE_', '').toLowerCase(),
    safety: state.safety_snapshot_id,
    total: state.total_bytes,
    remaining: state.remaining_bytes,
    message: state.message,
    bytesPerSecond: state.bytes_per_second,
  }));
export type RestoreState = z.output<typeof restoreState>;

export function isPromotion({ mode }: RestoreState): boolean {
  return mode === 'snapshot';
}

export function isOver({ phase }: RestoreState): boolean {
  return phase === 'done' || phase === 'failed';
}

export interface Pace {
  readonly bytesPerSecond: number | undefined;
  readonly secondsLeft: number | undefined;
}

interface Sample {
  readonly atMs: number;
  readonly remaining: Bytes;
}

/** Over how long a rate is measured. */
const WINDOW_MS = 15_000;
const LEAST_MS = 900;

/** Remembers what restores had left, and says how fast each moves. `nowMs` only goes up. */
export function createPace(): (state: RestoreState, nowMs: number) => Pace {
  const samples = new Map<string, readonly Sample[]>();
  return (state, nowMs) => {
    const { id, remaining } = state;
    const kept = (samples.get(id) ?? []).filter(({ atMs }) => nowMs - atMs <= WINDOW_MS);
    const now = { atMs: nowMs, remaining };
    samples.set(id, [...kept, now]);
    const bytesPerSecond = state.bytesPerSecond ?? rateBetween(kept[0] ?? now, now);
    const isMoving = bytesPerSecond !== undefined && bytesPerSecond > 0;
    const secondsLeft = isMoving ? Number(remaining) / bytesPerSecond : undefined;
    return { bytesPerSecond, secondsLeft };
  };
}

function rateBetween(first: Sample, last: Sample): number | undefined {
  const elapsedMs = last.atMs - first.atMs;
  if (elapsedMs < LEAST_MS || last.remaining > first.remaining) return undefined;
  return (Number(first.remaining - last.remaining) * 1000) / elapsedMs;
}

export interface LineOptions {
  readonly style: Style;
  readonly columns: number;
  /** A handle -> what people call it. */
  readonly label: (handle: string) => string;
}

const BAR_CELLS = 24;
const LEAST_BAR_CELLS = 8;
const LEAST_FIGURES = 20;

export function restoreLine(state: RestoreState, pace: Pace, { style, columns, label }: LineOptions): string {
  const arrow = style.unicode ? '←' : '<-';
  const [volume, snapshot] = [label(state.volume), label(state.snapshot)];
  const who = isPromotion(state) ? `promote ${volume}` : `${volume} ${arrow} ${snapshot}`;
  const moved = state.total > state.remaining ? state.total - state.remaining : 0n;
  const percent = state.phase === 'done' ? 100 : Math.min(percentOf(moved, state.total), 99);
  const figures = figuresOf(state, pace, percent);
  const cells = Math.min(BAR_CELLS, columns - who.length - figures.length - 6);
  const isBarred = state.phase === 'merging' || state.phase === 'done';
  const bar = isBarred && cells >= LEAST_BAR_CELLS ? `  ${barOf(percent, cells, style)}` : '';
  const left = fit(figures, Math.max(LEAST_FIGURES, columns - who.length - 3), style);
  return `${paint(style, 'bold', fit(who, columns - left.length - 3, style))}${bar}  ${paint(style, colourOf(state), left)}`;
}

/** A line that is longer than the terminal could not be drawn again. */
function fit(text: string, room: number, { unicode }: Style): string {
  if (text.length <= room) return text;
  return `${text.slice(0, Math.max(0, room - 1))}${unicode ? '…' : '~'}`;
}

function colourOf({ phase, message }: RestoreState): Colour {
  if (phase === 'failed') return 'red';
  if (phase === 'done') return 'green';
  return phase === 'merging' && message === '' ? 'plain' : 'yellow';
}

function figuresOf(state: RestoreState, { bytesPerSecond, secondsLeft }: Pace, percent: number): string {
  const { phase, remaining, total, message } = state;
  if (phase === 'done') return `done, ${roughBytes(total)} moved`;
  if (phase !== 'merging' || message !== '') return message === '' ? phase : `${phase}: ${message}`;
  return [
    `${String(percent).padStart(3)} %`,
    `${roughBytes(remaining)} left`,
    bytesPerSecond === undefined ? '' : `${roughBytes(BigInt(Math.round(bytesPerSecond)))}/s`,
    secondsLeft === undefined ? '' : `${durationOf(secondsLeft)} left`,
  ]
    .filter((text) => text !== '')
    .join('  ');
}

function barOf(percent: number, cells: number, style: Style): string {
  const full = Math.floor((percent * cells) / 100);
  const [on, off] = style.unicode ? ['█', '░'] : ['#', '.'];
  return `${paint(style, 'green', on.repeat(full))}${paint(style, 'dim', off.repeat(cells - full))}`;
}

/** Moves to the first of `count` lines that were drawn before, and empties from there. */
export function eraseLines(count: number): string {
  return count === 0 ? '' : `\u001B[${count}A\u001B[0J`;
}
