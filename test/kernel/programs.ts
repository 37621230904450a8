// The programs that open every device of a node, as they are, looping in a guest beside what is tried there: a loop for each, so
// that one which has to wait holds up no other.

import type { Guest } from '../../vm/guest.ts';
import { waitFor } from '../../vm/wait.ts';

const LIMIT_MS = 60_000;

const PROGRAMS = [
  'blkid -c /dev/null',
  'blkid -p $(ls /dev/dm-* 2>/dev/null)',
  'lvs -a -o +devices',
  'pvs -a',
  'mdadm --examine --scan',
  'parted -s -l',
  'wipefs $(ls /dev/dm-* 2>/dev/null)',
  'lsblk -f',
  'findfs LABEL=nobody',
  'dmsetup status',
  'udevadm trigger --subsystem-match=block',
] as const;

/** Each prints its number whenever it has ended. What waits in a device ends with that, or with the guest. */
const LOOPS = PROGRAMS.map(
  (line, index) => `(while :; do ${line} >/dev/null 2>&1 </dev/null; echo ${index}; sleep 1; done) &`,
).join('\n');

/** While `work` goes on. Resolves with its result, and how often each program has run to its end. */
export async function programsThroughout<T>(
  guest: Guest,
  work: () => Promise<T>,
): Promise<readonly [T, ReadonlyMap<string, number>]> {
  const ending = new AbortController();
  const ended = new Map<string, number>();
  let rest = '';
  const onStdout = (bytes: Uint8Array): void => {
    const lines = (rest + Buffer.from(bytes).toString()).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) {
      const program = PROGRAMS[Number(line)] ?? line;
      ended.set(program, (ended.get(program) ?? 0) + 1);
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
    return [await work(), ended];
  } finally {
    ending.abort();
    await looping;
  }
}
