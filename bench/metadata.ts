// Many volumes at once, pure: LVM's metadata text with what the driver has made once repeated over and over, each time
// under other names, ids and extents. The driver would make the same one by one, in hours where all is emulated.

/** Names and ids that the driver draws: `sm_` stores, `v-` volumes, `s-` snapshots, each with ten letters or digits. */
const DRAWN = /\b(sm_|v-|s-)([a-z0-9]{4})[a-z0-9]{6}\b/g;
const NAME_TAG = /"sm\.name=([^"]*)"/g;
const UUID = /\bid = "([A-Za-z0-9-]{31})-[A-Za-z0-9]{6}"/g;
const STRIPE = /"(pv\d+)", (\d+)/g;
const SEGMENT = /extent_count = (\d+)[^}]*?"pv0", (\d+)/g;
const BLOCK = /\n\tlogical_volumes \{\n([\s\S]*?)\n\t\}\n/;

/** `text` as `vgcfgbackup` writes it, of a group whose logical volumes lie at the beginning of its first disk. */
export function repeated(text: string, count: number): string {
  const [whole, once = ''] = BLOCK.exec(text) ?? [];
  if (whole === undefined) throw new Error('Cannot repeat what a volume group holds: it holds nothing');
  const span = Math.max(...[...once.matchAll(SEGMENT)].map(([, size, start]) => Number(start) + Number(size)));
  const copies = Array.from({ length: count }, (_, index) => (index === 0 ? once : copyOf(once, index, index * span)));
  return text.replace(whole, () => `\n\tlogical_volumes {\n${copies.join('\n')}\n\t}\n`);
}

function copyOf(once: string, index: number, shift: number): string {
  // Ids have no letters that look like others (i, l, o, u), and hexadecimal digits are none of those.
  const mark = index.toString(16).padStart(6, '0');
  return once
    .replace(DRAWN, (_, prefix: string, drawn: string) => `${prefix}${drawn}${mark}`)
    .replace(NAME_TAG, (_, name: string) => `"sm.name=${name}.${index}"`)
    .replace(UUID, (_, first: string) => `id = "${first}-${mark}"`)
    .replace(STRIPE, (_, disk: string, start: string) => `"${disk}", ${Number(start) + shift}`);
}
