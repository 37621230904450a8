import { expect, test } from 'vitest';
import { createBoard } from '../../../src/cli/board.ts';
import { createPace, restoreLine, restoreState } from '../../../src/cli/progress.ts';
import type { RestoreState } from '../../../src/cli/progress.ts';
import { mib } from '../../../src/vocabulary/units.ts';

const stateOf = (leftMiB: number, more: object = {}): RestoreState =>
  restoreState.parse({
    restore_id: 'fast.AbCdEf.r-0000000001',
    volume_id: 'fast.AbCdEf.v-0000000001',
    snapshot_id: 'fast.AbCdEf.s-0000000001',
    mode: 'RESTORE_MODE_ORIGIN',
    phase: 'RESTORE_PHASE_MERGING',
    safety_snapshot_id: '',
    total_bytes: mib(400).toString(),
    remaining_bytes: mib(leftMiB).toString(),
    message: '',
    ...more,
  });
const NONE = { bytesPerSecond: undefined, secondsLeft: undefined };
const options = (columns = 120, unicode = true) => ({
  style: { colour: false, unicode },
  columns,
  label: (handle: string) => (handle.includes('.v-') ? 'shop' : 'friday'),
});

test('percent, bytes left, rate, time left', () => {
  const pace = { bytesPerSecond: Number(mib(20)), secondsLeft: 200 };
  expect(restoreLine(stateOf(300), pace, options())).toBe(
    'shop ← friday  ██████░░░░░░░░░░░░░░░░░░   25 %  300 MiB left  20 MiB/s  3 min 20 s left',
  );
  expect(restoreLine(stateOf(300), NONE, options(60, false))).toBe(
    'shop <- friday  #####................   25 %  300 MiB left',
  );
});

test('a line never is longer than the terminal', () => {
  const message = 'waits for something with a very long name, and for much more besides';
  for (const columns of [20, 30, 40, 60, 80, 200]) {
    for (const state of [stateOf(3), stateOf(0, { phase: 'RESTORE_PHASE_WAITING', message })]) {
      const line = restoreLine(state, { bytesPerSecond: 1, secondsLeft: 100_000 }, options(columns));
      expect(line.length).toBeLessThan(Math.max(columns, 26));
    }
  }
});

test('phases, those of newer drivers too', () => {
  const line = (phase: string, message = ''): string => restoreLine(stateOf(0, { phase, message }), NONE, options());
  expect(line('RESTORE_PHASE_DONE')).toBe('shop ← friday  ████████████████████████  done, 400 MiB moved');
  expect(line('RESTORE_PHASE_FAILED', 'Merge failed')).toBe('shop ← friday  failed: Merge failed');
  expect(line('RESTORE_PHASE_WAITING', 'until it is staged')).toBe('shop ← friday  waiting: until it is staged');
  expect(line('RESTORE_PHASE_PREPARING')).toBe('shop ← friday  preparing');
  const promotion = stateOf(100, { mode: 'RESTORE_MODE_SNAPSHOT' });
  expect(restoreLine(promotion, NONE, options())).toMatch(/^promote shop .* 75 %/);
  // All moved, and not written down yet.
  expect(line('RESTORE_PHASE_MERGING')).toContain(' 99 %');
});

test('the rate is of the last seconds, and not of a single look', () => {
  const paceOf = createPace();
  expect(paceOf(stateOf(400), 0)).toEqual(NONE);
  expect(paceOf(stateOf(380), 1000)).toEqual({ bytesPerSecond: Number(mib(20)), secondsLeft: 19 });
  expect(paceOf(stateOf(300), 2000).bytesPerSecond).toBe(Number(mib(50)));
  expect(paceOf(stateOf(290), 30_000).bytesPerSecond).toBeUndefined();
});

test('a driver that says it itself knows better', () => {
  const state = stateOf(100, { bytes_per_second: '1048576' });
  expect(createPace()(state, 0)).toEqual({ bytesPerSecond: 1048576, secondsLeft: 100 });
  expect(createPace()(stateOf(100, { bytes_per_second: '0' }), 0)).toEqual(NONE);
});

test('a board draws over itself on a terminal, and says only what is new elsewhere', () => {
  const written: string[] = [];
  const write = (text: string): void => void written.push(text);
  const line = (text: string, milestone = text) => ({ key: 'a', text, milestone });
  const drawn = createBoard({ write, live: true });
  drawn.show([line('1'), line('2')]);
  drawn.show([line('3')]);
  drawn.show([line('3')]);
  expect(written).toEqual(['1\n2\n', '\u001B[2A\u001B[0J3\n', '\u001B[1A\u001B[0J3\n']);
  written.length = 0;
  const told = createBoard({ write, live: false });
  told.show([line('1'), { key: 'b', text: 'x', milestone: '' }]);
  told.show([line('1.5', '1')]);
  told.show([line('2')]);
  expect(written).toEqual(['1\n', 'x\n', '2\n']);
});
