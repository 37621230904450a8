// What a .proto file fixes on the wire, as sorted lines: one per field, enum value and call, without order, comments and
// options (csi_secret excepted). Two files with the same lines speak the same. Run as a script, it compares ours with the
// standard's: `node test/csi/proto-listing.ts <csi.proto of container-storage-interface/spec v1.13.0>`.

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';

const TOKEN = /"[^"]*"|[A-Za-z0-9_.]+|[{}()=;<>,[\]]/g;

/** `path kind ...` lines of a proto file's text, sorted. */
export function protoListing(text: string): readonly string[] {
  const tokens = text.replaceAll(/\/\/[^\n]*/g, '').match(TOKEN) ?? [];
  const lines: string[] = [];
  const path: string[] = [];
  let statement: string[] = [];
  for (const token of tokens) {
    if (token === '{') {
      path.push(opened(statement, path, lines));
      statement = [];
    } else if (token === '}') {
      path.pop();
      statement = [];
    } else if (token === ';') {
      lines.push(...statementLines(statement, path));
      statement = [];
    } else {
      statement.push(token);
    }
  }
  return lines.sort();
}

/** The name of the scope that a `{` opens; an rpc with a body is a line of its own. */
function opened(statement: readonly string[], path: readonly string[], lines: string[]): string {
  const [keyword, name] = statement;
  if (keyword === 'rpc') lines.push(...statementLines(statement, path));
  return `${keyword ?? ''}:${name ?? ''}`;
}

function statementLines(statement: readonly string[], path: readonly string[]): readonly string[] {
  const [keyword] = statement;
  if (keyword === undefined || path.some((scope) => scope.startsWith('extend:'))) return [];
  const where = path.map((scope) => scope.slice(scope.indexOf(':') + 1)).join('.');
  if (keyword === 'package') return [statement.join(' ')];
  if (['syntax', 'import', 'option'].includes(keyword)) return [];
  if (keyword === 'reserved') return [`${where} ${statement.join(' ')}`];
  if (keyword === 'rpc') return [`${where} ${statement.join('')}`];
  const oneof = path.at(-1)?.startsWith('oneof:') === true ? 'oneof ' : '';
  const secret = statement.includes('csi_secret') ? ' secret' : '';
  const options = statement.indexOf('[');
  const declaration = (options === -1 ? statement : statement.slice(0, options)).join(' ');
  return [`${where} ${oneof}${declaration.replace(/(^|<|, )\.google/g, '$1google')}${secret}`];
}

/** The part of the standard that we leave out on purpose. */
export function withoutSnapshotMetadata(lines: readonly string[]): readonly string[] {
  return lines.filter((line) => !/^(SnapshotMetadata|BlockMetadata|GetMetadata)/.test(line));
}

export function digest(lines: readonly string[]): string {
  return createHash('sha256').update(lines.join('\n')).digest('hex');
}

function compare(standardFile: string): void {
  const ours = protoListing(readFileSync(new URL('../../proto/csi.proto', import.meta.url), 'utf8'));
  const theirs = withoutSnapshotMetadata(protoListing(readFileSync(standardFile, 'utf8')));
  const missing = theirs.filter((line) => !ours.includes(line));
  const extra = ours.filter((line) => !theirs.includes(line));
  for (const line of missing) console.log(`- ${line}`);
  for (const line of extra) console.log(`+ ${line}`);
  console.log(`${ours.length} lines, ${missing.length} missing, ${extra.length} extra, digest ${digest(theirs)}`);
  process.exitCode = missing.length + extra.length === 0 ? 0 : 1;
}

if (import.meta.main && process.argv[2] !== undefined) compare(process.argv[2]);
