// Modes of a restore as proto/snapmerge.proto names them, for all who speak that service. Pure.

import type { RestoreMode as WireMode } from '#proto/snapmerge/v1/RestoreMode.ts';

export const RESTORE_MODES = {
  origin: 'RESTORE_MODE_ORIGIN',
  snapshot: 'RESTORE_MODE_SNAPSHOT',
  onactivate: 'RESTORE_MODE_ONACTIVATE',
} as const satisfies Readonly<Record<string, WireMode>>;

/** None given is `origin`. Undefined for one that is not known. */
export function restoreModeOf(name: string | number): keyof typeof RESTORE_MODES | undefined {
  if (name === 'RESTORE_MODE_UNSPECIFIED') return 'origin';
  const modes = ['origin', 'snapshot', 'onactivate'] as const;
  return modes.find((mode) => RESTORE_MODES[mode] === name);
}
