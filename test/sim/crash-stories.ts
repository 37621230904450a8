// Stories that failed once, as they were printed: what was found by chance is told in every run.

import type { Story } from './crash-story.ts';

export const STORIES: readonly { readonly title: string; readonly story: Story }[] = [
  {
    title: 'a freeze that was given up showed a table that had been loaded for it',
    story: {
      seed: 1,
      operations: [
        { do: 'create', name: 'V1', size: 1048576, chunk: 32768 },
        { do: 'activate', volume: 'V1' },
        { do: 'snapshot', name: 'S2', volume: 'V1' },
        {
          do: 'write',
          volume: 'V1',
          writes: [
            [206, 1],
            [41, 1],
            [73, 3],
            [134, 11],
            [36, 1],
            [169, 5],
          ],
        },
        { do: 'create', name: 'F4', size: 1048576, chunk: 32768, from: 'S2' },
        {
          do: 'write',
          volume: 'V1',
          writes: [
            [133, 3],
            [87, 3],
            [188, 9],
            [53, 1],
            [7, 2],
          ],
        },
        { do: 'activate', volume: 'F4' },
        { do: 'restore', volume: 'V1', snapshot: 'S2', mode: 'origin', keep: true, safety: 'S6' },
      ],
    },
  },
  {
    title: 'three stores that were extended in a freeze ended a restore half-way',
    story: {
      seed: 1028,
      operations: [
        { do: 'create', name: 'V1', size: 1048576, chunk: 16384 },
        { do: 'activate', volume: 'V1' },
        { do: 'snapshot', name: 'S7', volume: 'V1', unflushed: [234, 2] },
        {
          do: 'write',
          volume: 'V1',
          writes: [
            [272, 2],
            [123, 1],
            [329, 3],
            [375, 3],
            [57, 7],
            [3, 1],
            [287, 1],
          ],
        },
        { do: 'create', name: 'C8', size: 1572864, chunk: 16384, from: 'V1' },
        {
          do: 'write',
          volume: 'V1',
          writes: [
            [195, 4],
            [343, 1],
            [120, 3],
          ],
        },
        { do: 'restore', volume: 'V1', snapshot: 'S7', mode: 'origin', keep: false, safety: 'S10' },
      ],
    },
  },
  {
    title: 'a tail of a store that is given up was closed again, with a merge waiting in it',
    story: {
      seed: 2051,
      operations: [
        { do: 'create', name: 'V1', size: 1048576, chunk: 16384 },
        { do: 'activate', volume: 'V1' },
        { do: 'snapshot', name: 'S4', volume: 'V1' },
        {
          do: 'write',
          volume: 'V1',
          writes: [
            [223, 3],
            [232, 3],
            [186, 14],
            [158, 2],
            [220, 3],
            [91, 16],
            [208, 2],
          ],
        },
        { do: 'create', name: 'C5', size: 1048576, chunk: 8192, from: 'V1' },
        { do: 'delete', what: 'C5' },
        {
          do: 'write',
          volume: 'V1',
          writes: [
            [85, 1],
            [25, 10],
            [241, 11],
            [94, 3],
            [47, 2],
            [31, 9],
          ],
        },
        { do: 'restore', volume: 'V1', snapshot: 'S4', mode: 'origin', keep: false },
        { do: 'snapshot', name: 'S6', volume: 'V1' },
        { do: 'delete', what: 'S6' },
      ],
    },
  },
  {
    title: 'deleted snapshots on the way of a promotion were larger than the fork',
    story: {
      seed: 2,
      operations: [
        { do: 'create', name: 'V1', size: 524288, chunk: 16384 },
        { do: 'snapshot', name: 'S2', volume: 'V1' },
        { do: 'create', name: 'F3', size: 524288, chunk: 16384, from: 'S2' },
        { do: 'expand', volume: 'V1', size: 1048576 },
        { do: 'activate', volume: 'V1' },
        { do: 'snapshot', name: 'S4', volume: 'V1' },
        {
          do: 'write',
          volume: 'V1',
          writes: [
            [5, 40],
            [200, 40],
          ],
        },
        { do: 'snapshot', name: 'S5', volume: 'V1' },
        {
          do: 'write',
          volume: 'V1',
          writes: [
            [5, 40],
            [200, 40],
          ],
        },
        { do: 'snapshot', name: 'S6', volume: 'V1' },
        {
          do: 'write',
          volume: 'V1',
          writes: [
            [5, 40],
            [200, 40],
          ],
        },
        { do: 'deactivate', volume: 'V1' },
        { do: 'delete', what: 'S4' },
        { do: 'delete', what: 'S5' },
        { do: 'delete', what: 'S6' },
        { do: 'restore', volume: 'F3', snapshot: 'S2', mode: 'snapshot', keep: true },
        { do: 'background' },
        { do: 'background' },
      ],
    },
  },
  {
    title: 'a promotion hung its snapshot on a clone that had taken the place of its hidden one',
    story: {
      seed: 7014,
      operations: [
        { do: 'create', name: 'V1', size: 524288, chunk: 4096 },
        { do: 'snapshot', name: 'S2', volume: 'V1' },
        { do: 'create', name: 'F3', size: 1048576, chunk: 16384, from: 'S2' },
        { do: 'activate', volume: 'F3' },
        { do: 'write', volume: 'F3', writes: [[40, 9]] },
        { do: 'create', name: 'C4', size: 1048576, chunk: 32768, from: 'F3' },
        { do: 'background' },
        { do: 'restore', volume: 'F3', snapshot: 'S2', mode: 'snapshot', keep: true },
        { do: 'background' },
        { do: 'activate', volume: 'C4' },
        {
          do: 'write',
          volume: 'C4',
          writes: [
            [122, 3],
            [44, 9],
          ],
        },
        {
          do: 'write',
          volume: 'F3',
          writes: [
            [60, 9],
            [42, 2],
          ],
        },
        { do: 'delete', what: 'S2' },
      ],
    },
  },
];
