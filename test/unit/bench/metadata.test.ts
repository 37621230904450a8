import { expect, test } from 'vitest';
import { repeated } from '../../../bench/metadata.ts';

const lv = (store: string, id: string, tags: string, count: number, start: number): string => `		${store} {
			id = "${id}"
			tags = [${tags}]
			segment1 {
				start_extent = 0
				extent_count = ${count}

				stripes = [
					"pv0", ${start}
				]
			}
		}`;

const text = `pool {
	id = "aaaaaa-bbbb-cccc-dddd-eeee-ffff-gggggg"

	logical_volumes {
${lv('sm_aaaaaaaaaa', 'AAAAAA-bbbb-cccc-dddd-eeee-ffff-gggggg', '"sm.family=v-bbbbbbbbbb", "sm.name=many"', 1, 0)}
${lv('sm_cccccccccc', 'CCCCCC-bbbb-cccc-dddd-eeee-ffff-gggggg', '"sm.of=v-bbbbbbbbbb", "sm.id=s-dddddddddd"', 2, 3)}
	}
}
`;

test('once is what is there, not at all is an empty group', () => {
  expect(repeated(text, 1)).toBe(text);
  expect(repeated(text, 0)).not.toContain('sm_');
});

test('each copy has names, ids and extents of its own, alike wherever they stand', () => {
  const thrice = repeated(text, 3);
  expect(thrice.match(/\t\tsm_/g)).toHaveLength(6);
  expect(new Set(thrice.match(/\t\t\tid = .*/g))).toHaveLength(6);
  expect(thrice).toContain('"sm.family=v-bbbb000001", "sm.name=many.1"');
  expect(thrice).toContain('"sm.of=v-bbbb000001", "sm.id=s-dddd000001"');
  expect([...thrice.matchAll(/"pv0", (\d+)/g)].map(([, start]) => Number(start))).toEqual([0, 3, 5, 8, 10, 13]);
  expect(thrice.match(/\bid = "aaaaaa-/g)).toHaveLength(1);
});

test('all ids are of the letters that the driver has for them', () => {
  const drawn = [...repeated(text, 300).matchAll(/\bv-([a-z0-9]{10})/g)].map(([, id]) => id);
  expect(new Set(drawn)).toHaveLength(300);
  expect(drawn.filter((id) => /[ilou]/.test(id?.slice(4) ?? 'i'))).toEqual([]);
});

test('a group without volumes is refused', () => {
  expect(() => repeated('pool {\n}\n', 2)).toThrow('it holds nothing');
});
