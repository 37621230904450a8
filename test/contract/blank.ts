// The volumes of stories that are about something else.

import type { CreateVolume, VolumeParameters } from '../../src/engine/engine.ts';
import type { Bytes } from '../../src/vocabulary/units.ts';
import { kib } from '../../src/vocabulary/units.ts';

export const PLAIN = {
  layout: 'linear',
  chunk: kib(8),
  snapshotReservePercent: 10,
  onFull: 'wait',
  scratch: false,
} as const;

/** What a blank volume is asked for with. */
export function blank(name: string, requiredBytes: Bytes, parameters: VolumeParameters = PLAIN): CreateVolume {
  return { name, requiredBytes, limitBytes: undefined, parameters, source: undefined };
}
