// The programs that open every device of a node, as they are, looping in a guest beside what is tried there. Those that read also
// what is hidden from them have a loop of their own each: one that waited would hold up no other.

import type { Guest } from '../../vm/guest.ts';
import { waitFor } from '../../vm/wait.ts';

const LIMIT_MS = 60_000;

const READING = ['mdadm --examine --scan', 'parted -s -l'];
const OTHERS = [
  'blkid -c /dev/null',
  'blkid -p $(ls /dev/dm-* 2>/dev/null)',
  'lvs -a -o +devices',
  'pvs -a',
  'wipefs $(ls /dev/dm-* 2>/dev/null)',
  'lsblk -f',
  'findfs LABEL=nobody',
  'dmsetup status',
  'udevadm trigger --subsystem-match=block',
];
const PROGRAMS = [...READING, ...OTHERS];
/** A node has such a look every few minutes; in an emulated guest more would only take the processor away. */
const PAUSE_S = 2;

const once = (line: string): string =>
  `${line} >/dev/null 2>&1 </dev/null; echo ${PROGRAMS.indexOf(line)}; sleep ${PAUSE_S}`;
/** Each program's number is printed whenever it has ended. */
const LOOPS = [...READING.map(once), OTHERS.map(once).join('; ')]
  .map((lines) => `(while :; do ${lines}; done) &`)
  .join('\n');

/** While `work` goes on. Resolves with its result, and how often programs have run to their end, each at least once: none waits for ever. */
export async function programsThroughout<T>(guest: Guest, work: () => Promise<T>): Promise<readonly [T, number]> {
  const ending = new AbortController();
  const ended = new Set<string>();
  let ends = 0;
  let rest = '';
  const onStdout = (bytes: Uint8Array): void => {
    const lines = (rest + Buffer.from(bytes).toString()).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) {
      ended.add(PROGRAMS[Number(line)] ?? line);
      ends += 1;
    }
  };
  const loop = async (): Promise<void> => {
    const { signal } = ending;
    // A power cut ends them, too; they are there again when the guest is.
    while (!signal.aborted) {
      // With it the agent ends all that it has started.
      await guest.exec(['bash', '-c', `${LOOPS}\nwait`], { signal, onStdout }).catch(() => undefined);
      await waitFor(LIMIT_MS, () => (signal.aborted || guest.isRunning() ? true : undefined));
    }
  };
  const looping = loop();
  try {
    const result = await work();
    const waiting = PROGRAMS.filter((program) => !ended.has(program));
    if (waiting.length > 0) throw new Error(`Programs that did not come to an end: ${waiting.join('; ')}`);
    return [result, ends];
  } finally {
    ending.abort();
    await looping;
  }
}
