// Processor time of a command and all that it started, from Linux's own accounts. Guests under emulation are bound by it,
// and on a machine that does other things too it says more of a part than the clock does.

import { readFileSync, readdirSync } from 'node:fs';

/** What `getconf CLK_TCK` says on every Linux that Node runs on. */
const TICKS_A_SECOND = 100;
const EACH_MS = 1000;

interface Accounts {
  readonly pid: number;
  readonly parent: number;
  readonly ticks: number;
}

/** Of /proc/PID/stat: fields 4, and 14 to 17, its own time and that of its children who have ended and were waited for. */
function accountsOf(pid: number, stat: string): Accounts {
  // The name, in brackets, may hold anything.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const ticks = fields.slice(11, 15).reduce((sum, field) => sum + Number(field), 0);
  return { pid, parent: Number(fields[1]), ticks };
}

function allAccounts(): readonly Accounts[] {
  return readdirSync('/proc').flatMap((name) => {
    if (!/^\d+$/.test(name)) return [];
    try {
      return [accountsOf(Number(name), readFileSync(`/proc/${name}/stat`, 'utf8'))];
    } catch {
      // It has ended meanwhile.
      return [];
    }
  });
}

function ticksBelow(root: number): number {
  const all = allAccounts();
  const below = new Set([root]);
  // A child's number may be smaller than its parent's, where numbers began anew.
  for (let before = 0; before < below.size;) {
    before = below.size;
    for (const { pid, parent } of all) if (below.has(parent)) below.add(pid);
  }
  return all.filter(({ pid }) => below.has(pid)).reduce((sum, { ticks }) => sum + ticks, 0);
}

export interface CpuTime {
  /** Seconds until the last look, at most one second ago; what ended and was waited for by nobody is not in it. */
  readonly seconds: () => number;
  readonly stop: () => void;
}

/** Looks every second as long as it is not stopped. */
export function watchCpuTime(pid: number): CpuTime {
  let ticks = 0;
  const look = (): void => {
    // The time of a process that has ended goes to its parent a moment later, or never.
    ticks = Math.max(ticks, ticksBelow(pid));
  };
  const timer = setInterval(look, EACH_MS);
  return {
    seconds: () => Math.round(ticks / TICKS_A_SECOND),
    stop: () => clearInterval(timer),
  };
}
