// The udev rules: what they say, where they go, and when nothing is written.

import { describe, expect, test } from 'vitest';
import { UDEV_RULES_DIR, UDEV_RULES_FILES, installUdevRules, udevRules, udevRuns } from '../../../src/dm/udev.ts';
import { vgUuid } from '../../../src/vocabulary/ids.ts';
import { scriptedExec } from '../scripted-exec.ts';

const group = vgUuid('dU4NYTrtIqU9FDlBLg4GqB3hvporJ8v6');

describe('rules', () => {
  test('match our devices everywhere and stores in our groups only', () => {
    const text = udevRules([group]);
    expect(text).toContain('ATTR{dm/uuid}=="SNAPMERGE-*", GOTO="snapmerge_hide"');
    expect(text).toContain('ATTR{dm/uuid}=="LVM-SNAPMERGE00000000000000000000000*", GOTO="snapmerge_hide"');
    expect(text).toContain(`ATTR{dm/uuid}=="LVM-${group}*", ATTR{dm/name}=="*-sm_??????????*", GOTO="snapmerge_hide"`);
    expect(udevRules([])).not.toContain('dm/name');
  });

  test('hide before the end and let everything else pass', () => {
    const lines = udevRules([group]).split('\n');
    const hide = lines.indexOf('LABEL="snapmerge_hide"');
    expect(lines[hide - 1]).toBe('GOTO="snapmerge_end"');
    expect(lines.slice(hide)).toEqual([
      'LABEL="snapmerge_hide"',
      'ENV{DM_UDEV_DISABLE_DISK_RULES_FLAG}="1"',
      'ENV{DM_UDEV_DISABLE_OTHER_RULES_FLAG}="1"',
      'ENV{SYSTEMD_READY}="0"',
      'OPTIONS:="nowatch"',
      'LABEL="snapmerge_end"',
      '',
    ]);
  });
});

describe('installation', () => {
  test('writes beside and renames, then has udevd read them', async () => {
    const script = scriptedExec((argv) => (argv[0] === 'cat' ? 1 : undefined));
    expect(await installUdevRules(script.exec, [group])).toBe(true);
    const path = (file: string): string => `${UDEV_RULES_DIR}/${file}`;
    expect(script.lines()).toEqual([
      ...UDEV_RULES_FILES.flatMap((file) => [
        `cat ${path(file)}`,
        `mkdir -p ${UDEV_RULES_DIR}`,
        `dd of=${path(file)}.new status=none`,
        `mv ${path(file)}.new ${path(file)}`,
      ]),
      'udevadm control --reload',
    ]);
  });

  test('changes nothing that is right', async () => {
    const script = scriptedExec(() => udevRules([group]));
    expect(await installUdevRules(script.exec, [group])).toBe(false);
    expect(script.calls.every(([file]) => file === 'cat')).toBe(true);
  });
});

test('udev runs where its control socket is', async () => {
  expect(await udevRuns(scriptedExec(() => undefined).exec)).toBe(true);
  expect(await udevRuns(scriptedExec(() => 1).exec)).toBe(false);
});
