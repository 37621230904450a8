// ValidateVolumeCapabilities: what a volume is not, in words.

import type { ValidateVolumeCapabilitiesResponse } from '#proto/csi/v1/ValidateVolumeCapabilitiesResponse.ts';
import { z } from 'zod';
import { givenBack, readCapabilities, volumeCapability } from '../csi/capability.ts';
import { requiredText, stringMap } from '../csi/fields.ts';
import type { Engine, Volume } from '../engine/engine.ts';
import { SnapmergeError, fail } from '../vocabulary/errors.ts';
import { differing } from '../vocabulary/parameters.ts';
import { readVolumeParameters } from './parameters.ts';
import type { ReadParameters } from './parameters.ts';

export const validateRequest = z.object({
  volume_id: requiredText,
  volume_capabilities: z.array(volumeCapability).min(1, 'is missing'),
  volume_context: stringMap,
  parameters: stringMap,
  mutable_parameters: stringMap,
});

export function validate(
  request: z.output<typeof validateRequest>,
  { engine, volume }: { readonly engine: Engine; readonly volume: Volume },
): ValidateVolumeCapabilitiesResponse {
  const read = readCapabilities(request.volume_capabilities);
  if (!read.ok) {
    if (read.malformed) fail('invalid', `Cannot validate these capabilities: ${read.reason}`);
    return { message: `not possible: ${read.reason}` };
  }
  if (Object.keys(request.mutable_parameters).length > 0) {
    return { message: 'not possible: parameters of a volume cannot be changed' };
  }
  const other = otherParameter(engine, volume, request.parameters);
  if (other !== undefined) return { message: `not possible: ${other}` };
  return {
    confirmed: {
      volume_context: request.volume_context,
      volume_capabilities: request.volume_capabilities.map(givenBack),
      parameters: request.parameters,
    },
  };
}

/** Why this volume is not what these parameters make; none say nothing. */
function otherParameter(
  { pool }: Engine,
  { parameters }: Volume,
  given: Readonly<Record<string, string>>,
): string | undefined {
  if (Object.keys(given).length === 0) return undefined;
  const asked = parametersOrReason(given);
  if (typeof asked === 'string') return asked;
  if (asked.pool !== undefined && asked.pool !== pool) return `it is in pool '${pool}'`;
  const other = differing(asked.volume, parameters);
  return other === undefined ? undefined : `its ${other} is ${parameters[other]}`;
}

/** Or why no volume can have them. */
function parametersOrReason(given: Readonly<Record<string, string>>): ReadParameters | string {
  try {
    return readVolumeParameters(given);
  } catch (error) {
    if (error instanceof SnapmergeError && error.kind === 'invalid') return error.message;
    throw error;
  }
}
