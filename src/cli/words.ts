// Sizes, shares and times as the command line writes them. Pure.

import { formatBytes } from '../vocabulary/units.ts';

/** Whole percents, and neither 0 nor 100 before it is so. */
export function percentOf(part: bigint, whole: bigint): number {
  if (whole <= 0n) return 100;
  const share = Number((part * 1000n) / whole) / 10;
  if (part <= 0n) return 0;
  if (part >= whole) return 100;
  return Math.min(99, Math.max(1, Math.round(share)));
}

/** `8 s`, `3 min 20 s`, `2 h 5 min`, `3 d 4 h`. */
export function durationOf(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  if (whole < 86_400) return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
  return `${Math.floor(whole / 86_400)} d ${Math.floor((whole % 86_400) / 3600)} h`;
}

/** As `formatBytes`, with one digit behind the point at most: for lines that change. */
export function roughBytes(value: bigint): string {
  return formatBytes(value).replace(/(\d+\.\d)\d+/, '$1');
}

/** `2 volumes`, `1 volume`. */
export function countOf(count: number, one: string, many = `${one}s`): string {
  return `${count} ${count === 1 ? one : many}`;
}
