// Where volumes can be reached: one key, the node.

import { z } from 'zod';
import { fail } from '../vocabulary/errors.ts';

export const TOPOLOGY_KEY = 'topology.snapmerge.io/node';

export const topology = z.object({ segments: z.record(z.string(), z.string()) });
export const topologyRequirement = z.object({ requisite: z.array(topology), preferred: z.array(topology) });
type Topology = z.output<typeof topology>;
type TopologyRequirement = z.output<typeof topologyRequirement>;

export function topologyOf(nodeName: string): { readonly segments: Readonly<Record<string, string>> } {
  return { segments: { [TOPOLOGY_KEY]: nodeName } };
}

/** A place is this node when every key it names is ours and its value is this node. */
export function isThisNode({ segments }: Topology, nodeName: string): boolean {
  const pairs = Object.entries(segments);
  return pairs.length > 0 && pairs.every(([key, value]) => key === TOPOLOGY_KEY && value === nodeName);
}

/** `exhausted` when a place is required and this node is none of those: the caller then asks another node. */
export function requireThisNode(requirement: TopologyRequirement | null, nodeName: string): void {
  if (requirement === null) return;
  // requisite binds; only where it is empty does preferred say where.
  const places = requirement.requisite.length > 0 ? requirement.requisite : requirement.preferred;
  if (places.length === 0 || places.some((place) => isThisNode(place, nodeName))) return;
  const asked = places.slice(0, 5).map(({ segments }) => segments[TOPOLOGY_KEY] ?? JSON.stringify(segments));
  fail('exhausted', `Cannot provide it on node '${nodeName}': it is asked for on ${asked.join(', ').slice(0, 500)}`);
}
