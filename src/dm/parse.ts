// What dmsetup prints, as values: the list of devices, tables and statuses. Strict: a field that is not as the kernel's
// sources say is an error with its index, its value and what was expected. Pure text; starts nothing.

import { fail } from '../vocabulary/errors.ts';
import { LEGS } from '../vocabulary/ids.ts';
import type { Sectors } from '../vocabulary/units.ts';
import { sectors } from '../vocabulary/units.ts';
import type { SnapshotStatus } from './status.ts';
import { STATUS_WORDS } from './status.ts';
import type { CowMode, Ref, Table, Target } from './table.ts';
import { regionOf } from './table.ts';

/** One device-mapper device of the node, ours or not. */
export interface DeviceRow {
  readonly name: string;
  /** Empty for a device without one. */
  readonly uuid: string;
  readonly majorMinor: string;
  readonly openCount: number;
  readonly live: boolean;
  readonly inactive: boolean;
  readonly suspended: boolean;
  readonly readOnly: boolean;
}

/** One line of `dmsetup table` or `dmsetup status`: a target with its words still unread. */
export interface RawTarget {
  readonly start: bigint;
  readonly length: Sectors;
  readonly type: string;
  readonly params: string;
}

/** Neither names nor UUIDs can hold it: dmsetup mangles all but letters, digits and `#+-.:=@_`. */
export const SEPARATOR = '|';
export const DEVICE_FIELDS = 'name,uuid,major,minor,open,attr';

const ATTRIBUTES = /^([L-])([I-])([s-])([rw])$/;
const MAJOR_MINOR = /^\d{1,4}:\d{1,7}$/;
const NUMBER = /^\d{1,19}$/;

/** Fields of one line, taken in order; each `take` names what it wants. */
interface Fields {
  readonly take: (expectation: string, pattern: RegExp) => string;
  readonly end: () => void;
}

function fieldsOf(what: string, fields: readonly string[]): Fields {
  let index = 0;
  return {
    take: (expectation, pattern) => {
      const value = fields[index];
      if (value === undefined || !pattern.test(value)) {
        const shown = value === undefined ? 'missing' : `'${value}'`;
        fail('internal', `Cannot read ${what}: field ${index} is ${shown}, want ${expectation}`);
      }
      index += 1;
      return value;
    },
    end: () => {
      if (index >= fields.length) return;
      fail('internal', `Cannot read ${what}: field ${index} is '${fields[index]}', want the end of the line`);
    },
  };
}

function linesOf(text: string): readonly string[] {
  // dmsetup says so on standard output when the kernel has no device at all.
  return text.split('\n').filter((line) => line !== '' && line !== 'No devices found');
}

/** The number in what `dmsetup create -v` prints; undefined when it is not there. */
export function parseCreated(text: string): string | undefined {
  const [, major, minor] = /^Major, minor:\s+(\d{1,4}), (\d{1,7})$/m.exec(text) ?? [];
  return major === undefined || minor === undefined ? undefined : `${major}:${minor}`;
}

/** Output of `dmsetup info -c --noheadings --separator SEPARATOR -o DEVICE_FIELDS`. */
export function parseDevices(text: string): readonly DeviceRow[] {
  return linesOf(text).map((line) => {
    const fields = fieldsOf(`the device list line '${line}'`, line.split(SEPARATOR));
    const name = fields.take('a device name', /^\S+$/);
    const uuid = fields.take('a UUID or nothing', /^\S*$/);
    const major = fields.take('a major number', NUMBER);
    const minor = fields.take('a minor number', NUMBER);
    const openCount = Number(fields.take('an open count', NUMBER));
    const [, live, inactive, suspended, access] =
      ATTRIBUTES.exec(fields.take('attributes like L-sw', ATTRIBUTES)) ?? [];
    fields.end();
    return {
      name,
      uuid,
      majorMinor: `${major}:${minor}`,
      openCount,
      live: live === 'L',
      inactive: inactive === 'I',
      suspended: suspended === 's',
      readOnly: access === 'r',
    };
  });
}

/**
 * Output of `dmsetup table` or `dmsetup status` for all devices: `name: start length type params`, one line a target. A
 * device without a table has one line with nothing after the name and gets no targets. Only names that `wanted` accepts
 * are read further: what strangers' targets print is none of our business.
 */
export function parseTargets(
  text: string,
  wanted: (name: string) => boolean,
): ReadonlyMap<string, readonly RawTarget[]> {
  const targets = new Map<string, RawTarget[]>();
  for (const line of linesOf(text)) {
    const space = line.indexOf(' ');
    const name = line.slice(0, space - 1);
    if (space < 2 || line[space - 1] !== ':') fail('internal', `Cannot read the line '${line}': want 'name: ...'`);
    if (!wanted(name)) continue;
    const list = targets.get(name) ?? [];
    targets.set(name, list);
    const rest = line.slice(space + 1).trim();
    if (rest !== '') list.push(parseRawTarget(name, rest));
  }
  return targets;
}

function parseRawTarget(name: string, text: string): RawTarget {
  const words = text.split(' ');
  const fields = fieldsOf(`a target of '${name}' ('${text}')`, words);
  const start = BigInt(fields.take('a first sector', NUMBER));
  const length = sectors(BigInt(fields.take('a length in sectors', NUMBER)));
  const type = fields.take('a target type', /^\S+$/);
  return { start, length, type, params: words.slice(3).join(' ') };
}

/** A table from the kernel's words; `resolve` turns a `major:minor` into what it is for us. */
export function parseTable(name: string, raw: readonly RawTarget[], resolve: (majorMinor: string) => Ref): Table {
  let next = 0n;
  return raw.map((target) => {
    if (target.start !== next) {
      fail('internal', `Cannot read the table of '${name}': a target begins at ${target.start}, want ${next}`);
    }
    next += target.length;
    return parseTarget(name, target, resolve);
  });
}

function parseTarget(name: string, raw: RawTarget, resolve: (majorMinor: string) => Ref): Target {
  const { length, type, params } = raw;
  const fields = fieldsOf(`the ${type} target of '${name}' ('${params}')`, params === '' ? [] : params.split(' '));
  const ref = (what: string): Ref => resolve(fields.take(`${what} as major:minor`, MAJOR_MINOR));
  const number = (what: string): Sectors => sectors(BigInt(fields.take(what, NUMBER)));
  switch (type) {
    case 'linear': {
      const on = ref('a device');
      const offset = number('an offset in sectors');
      fields.end();
      return { type, length, on, offset };
    }
    case 'snapshot':
    case 'snapshot-merge': {
      const origin = ref('an origin');
      const cow = ref('a store');
      const mode = cowMode(fields.take('P, N or PO', /^(P|N|PO)$/));
      const chunk = number('a chunk size in sectors');
      fields.end();
      return { type, length, origin, cow, mode, chunk };
    }
    case 'snapshot-origin': {
      const origin = ref('an origin');
      fields.end();
      return { type, length, origin };
    }
    case 'zero':
    case 'error':
      fields.end();
      return { type, length };
    case 'mirror':
      return held(length, params, resolve) ?? { type: 'other', length, name: type, params };
    default:
      return { type: 'other', length, name: type, params };
  }
}

/** What a tail is made of (`targetLine`); any other mirror is none of ours. */
function held(length: Sectors, params: string, resolve: (majorMinor: string) => Ref): Target | undefined {
  const [, region, ...numbers] = /^core 2 (\d+) nosync 2 (\S+) 0 (\S+) 0 1 handle_errors$/.exec(params) ?? [];
  const legs = numbers.map((majorMinor) => resolve(majorMinor));
  const isOurs = legs.every((ref, at) => ref.on === 'leg' && ref.leg === LEGS[at]);
  return region === `${regionOf(length)}` && isOurs ? { type: 'hold', length } : undefined;
}

function cowMode(text: string): CowMode {
  return text === 'N' || text === 'PO' ? text : 'P';
}

/** What a snapshot or snapshot-merge target says of itself: `used/total metadata` in sectors, or one of the words. */
export function parseSnapshotStatus(name: string, params: string): SnapshotStatus {
  const word = STATUS_WORDS.get(params);
  if (word !== undefined) return { state: word };
  const fields = fieldsOf(`the status of '${name}' ('${params}')`, params.split(/[ /]/));
  const expectation = `sectors, or one of ${[...STATUS_WORDS.keys()].join(', ')}`;
  const used = sectors(BigInt(fields.take(expectation, NUMBER)));
  const total = sectors(BigInt(fields.take(expectation, NUMBER)));
  const metadata = sectors(BigInt(fields.take(expectation, NUMBER)));
  fields.end();
  return { state: 'counts', used, total, metadata };
}
