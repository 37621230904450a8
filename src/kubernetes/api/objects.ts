// The Kubernetes objects that a restore has to do with, as far as they are read here. Schemas and types only: what the API
// server answers is checked on the way in, and trusted from then on.

import { z } from 'zod';

const time = z.iso.datetime({ offset: true });

const meta = z.object({
  name: z.string(),
  namespace: z.string().default(''),
  uid: z.string(),
  resourceVersion: z.string(),
  generation: z.number().default(1),
  creationTimestamp: time,
  deletionTimestamp: time.optional(),
  finalizers: z.array(z.string()).default([]),
});

export const MODES = ['NameOrigin', 'NameSnapshot', 'OnActivate'] as const;
export type Mode = (typeof MODES)[number];

const spec = z.object({
  persistentVolumeClaimName: z.string(),
  volumeSnapshotName: z.string().optional(),
  mode: z.enum(MODES).default('NameOrigin'),
  keepSnapshot: z.boolean().default(true),
  safetySnapshot: z.boolean().default(false),
  timeoutSeconds: z.number().default(600),
});

const condition = z.object({
  type: z.string(),
  status: z.enum(['True', 'False', 'Unknown']),
  reason: z.string(),
  message: z.string(),
  lastTransitionTime: time,
  observedGeneration: z.number().optional(),
});
export type Condition = z.output<typeof condition>;

export const PHASES = ['Pending', 'Waiting', 'Merging', 'Succeeded', 'Failed'] as const;

/** In the order of the custom resource definition. What is not known is left out. */
const status = z.object({
  observedGeneration: z.number().optional(),
  phase: z.enum(PHASES).optional(),
  reason: z.string().optional(),
  message: z.string().optional(),
  progress: z.string().optional(),
  totalBytes: z.number().optional(),
  remainingBytes: z.number().optional(),
  node: z.string().optional(),
  restoreID: z.string().optional(),
  startTime: time.optional(),
  askedTime: time.optional(),
  beganTime: time.optional(),
  completionTime: time.optional(),
  safetySnapshotName: z.string().optional(),
  originClaimName: z.string().optional(),
  blockingPods: z.array(z.string()).optional(),
  conditions: z.array(condition).optional(),
});
export type Status = Readonly<z.output<typeof status>>;
/** Every field that a status can have: one that is left out is taken away. */
export const STATUS_FIELDS = Object.keys(status.shape);

export const volumeRestore = z.object({ metadata: meta, spec, status: status.default({}) });
export type VolumeRestore = Readonly<z.output<typeof volumeRestore>>;

export const claim = z.object({
  metadata: meta,
  spec: z.object({
    volumeName: z.string().optional(),
    volumeMode: z.string().default('Filesystem'),
  }),
  status: z.object({ phase: z.string().optional() }).default({}),
});
export type Claim = z.output<typeof claim>;

const nodeSelectorTerm = z.object({
  matchExpressions: z
    .array(z.object({ key: z.string(), operator: z.string(), values: z.array(z.string()).default([]) }))
    .default([]),
});

export const persistentVolume = z.object({
  metadata: meta,
  spec: z.object({
    csi: z.object({ driver: z.string(), volumeHandle: z.string() }).optional(),
    claimRef: z.object({ namespace: z.string(), name: z.string(), uid: z.string().optional() }).optional(),
    nodeAffinity: z
      .object({ required: z.object({ nodeSelectorTerms: z.array(nodeSelectorTerm) }).optional() })
      .optional(),
  }),
});
export type PersistentVolume = z.output<typeof persistentVolume>;

export const volumeSnapshot = z.object({
  metadata: meta,
  status: z
    .object({
      boundVolumeSnapshotContentName: z.string().optional(),
      readyToUse: z.boolean().optional(),
      error: z.object({ message: z.string().optional() }).optional(),
    })
    .default({}),
});
export type VolumeSnapshot = z.output<typeof volumeSnapshot>;

export const volumeSnapshotContent = z.object({
  metadata: meta,
  spec: z.object({ driver: z.string() }),
  status: z.object({ snapshotHandle: z.string().optional() }).default({}),
});

export const pod = z.object({
  metadata: meta,
  spec: z.object({
    nodeName: z.string().optional(),
    volumes: z
      .array(
        z.object({
          name: z.string(),
          persistentVolumeClaim: z.object({ claimName: z.string() }).optional(),
          ephemeral: z.unknown().optional(),
        }),
      )
      .default([]),
  }),
  status: z.object({ phase: z.string().optional() }).default({}),
});
export type Pod = z.output<typeof pod>;

/** Kubernetes writes whole seconds. */
export function timeText(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`;
}
