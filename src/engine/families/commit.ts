// Commits of records: each is one metadata commit of LVM, and on the disks before anybody is answered.

import type { Family } from '../../records/family.ts';
import type { StoreName } from '../../vocabulary/ids.ts';
import type { StoreRecord } from '../../records/record.ts';
import { pendingTag, writeTags } from '../../records/tags.ts';
import type { Context } from '../state/context.ts';

/** The commit point of an operation that prepared one store: its `pending` tag goes, durably. */
export async function decide(ctx: Context, store: StoreName, token: string): Promise<void> {
  await commit(ctx, store, [], [pendingTag(token)]);
}

/** One metadata commit on one store, then a flush of every disk that holds the metadata. */
export async function commit(
  ctx: Context,
  store: StoreName,
  add: readonly string[],
  remove: readonly string[],
): Promise<void> {
  await ctx.lvm.retag(store, add, remove);
  await ctx.lvm.flush();
  ctx.log.info({ store, add, remove }, 'commit');
}

/** Turns the tags of a store from those of one record into those of another, in one commit. */
export async function commitRecord(ctx: Context, before: StoreRecord, after: StoreRecord): Promise<void> {
  const old = writeTags(before);
  const now = writeTags(after);
  await commit(
    ctx,
    after.store,
    now.filter((tag) => !old.includes(tag)),
    old.filter((tag) => !now.includes(tag)),
  );
}

/** Stores that count because another store decided them are made to count by themselves. */
export async function settle(ctx: Context, family: Family): Promise<void> {
  for (const { store, pending } of family.settled) {
    if (pending !== undefined) await ctx.lvm.retag(store, [], [pendingTag(pending)]);
  }
  if (family.settled.length > 0) await ctx.lvm.flush();
}
