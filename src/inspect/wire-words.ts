// The words of proto/snapmerge.proto for what a view says. Pure.

import type { FindingKind__Output as WireFindingKind } from '#proto/snapmerge/v1/FindingKind.ts';
import type { ImageCondition__Output as WireImageCondition } from '#proto/snapmerge/v1/ImageCondition.ts';
import type { ImageKind__Output as WireImageKind } from '#proto/snapmerge/v1/ImageKind.ts';
import type { MergeKind__Output as WireMergeKind } from '#proto/snapmerge/v1/MergeKind.ts';
import type { FindingKind, ImageKind, ImageState, MergeKind } from './view.ts';

export const KINDS: Readonly<Record<ImageKind, WireImageKind>> = {
  volume: 'IMAGE_KIND_VOLUME',
  fork: 'IMAGE_KIND_FORK',
  snapshot: 'IMAGE_KIND_SNAPSHOT',
};

export const STATES: Readonly<Record<ImageState, WireImageCondition>> = {
  sound: 'IMAGE_CONDITION_SOUND',
  invalid: 'IMAGE_CONDITION_INVALID',
  overflow: 'IMAGE_CONDITION_OVERFLOW',
  'merge-failed': 'IMAGE_CONDITION_MERGE_FAILED',
  unknown: 'IMAGE_CONDITION_UNKNOWN',
};

export const MERGES: Readonly<Record<MergeKind, WireMergeKind>> = {
  restore: 'MERGE_KIND_RESTORE',
  promotion: 'MERGE_KIND_PROMOTION',
  absorption: 'MERGE_KIND_ABSORPTION',
};

export const FINDINGS: Readonly<Record<FindingKind, WireFindingKind>> = {
  table: 'FINDING_KIND_TABLE',
  state: 'FINDING_KIND_STATE',
  'not-fed': 'FINDING_KIND_NOT_FED',
  lost: 'FINDING_KIND_LOST',
  store: 'FINDING_KIND_STORE',
  'left-over': 'FINDING_KIND_LEFT_OVER',
  law: 'FINDING_KIND_LAW',
  depth: 'FINDING_KIND_DEPTH',
};
