// Scripts that complete the command line in three shells, made from the commands themselves. Names of volumes and
// snapshots come from `snapmerge names` at the moment they are asked for. Pure.

import type { Command } from 'commander';

export const SHELLS = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof SHELLS)[number];

interface OptionShape {
  /** `--mode` */
  readonly flag: string;
  readonly description: string;
  readonly value: 'none' | 'file' | 'text' | readonly string[];
}

interface ArgumentShape {
  readonly name: string;
  readonly repeats: boolean;
  /** Words, names of `snapmerge names KIND`, or files. */
  readonly from: { readonly words: readonly string[] } | { readonly names: string } | 'files';
}

export interface CommandShape {
  /** Empty for the program itself. */
  readonly name: string;
  readonly description: string;
  readonly options: readonly OptionShape[];
  readonly arguments: readonly ArgumentShape[];
}

const KINDS: Readonly<Record<string, string>> = {
  volume: 'volumes',
  snapshot: 'snapshots',
  fork: 'forks',
  restore: 'restores',
  images: 'images',
};

/** Every command that is no group of others, its group's name in front: `pool create`. */
export function shapeOf(program: Command): readonly CommandShape[] {
  return program
    .createHelp()
    .visibleCommands(program)
    .flatMap((command): readonly CommandShape[] => {
      if (command.commands.length === 0) return [oneShape(command, command.name())];
      return command.commands.map((one) => oneShape(one, `${command.name()} ${one.name()}`));
    });
}

function oneShape(command: Command, name: string): CommandShape {
  return {
    name,
    description: command.description(),
    options: command.options.flatMap((option): readonly OptionShape[] => {
      if (option.long === undefined || option.long === null) return [];
      const { long: flag, description, argChoices, required } = option;
      const isFile = /<(file|path)>/.test(option.flags);
      return [{ flag, description, value: argChoices ?? (!required ? 'none' : isFile ? 'file' : 'text') }];
    }),
    arguments: command.registeredArguments.map((argument): ArgumentShape => {
      const kind = KINDS[argument.name()];
      const from =
        argument.argChoices === undefined
          ? kind === undefined
            ? 'files'
            : { names: kind }
          : { words: argument.argChoices };
      return { name: argument.name(), repeats: argument.variadic, from };
    }),
  };
}

export function completionScript(shell: Shell, commands: readonly CommandShape[]): string {
  switch (shell) {
    case 'bash':
      return bashScript(commands);
    case 'zsh':
      return zshScript(commands);
    case 'fish':
      return fishScript(commands);
  }
}

const unique = (words: readonly string[]): readonly string[] => [...new Set(words)];
const firstWords = (commands: readonly CommandShape[]): readonly string[] =>
  unique(commands.map(({ name }) => name.split(' ')[0] ?? name));

function bashScript(commands: readonly CommandShape[]): string {
  const options = commands.flatMap((command) => command.options);
  const withValue = unique(options.filter(({ value }) => value !== 'none').map(({ flag }) => flag));
  const groups = commands.filter(({ name }) => name.includes(' ')).map(({ name }) => name.split(' '));
  return `# snapmerge completion bash
_snapmerge() {
  local word='' command='' place=0 skip=0 i
  local now=\${COMP_WORDS[COMP_CWORD]} before=\${COMP_WORDS[COMP_CWORD - 1]}
  COMPREPLY=()
  for ((i = 1; i < COMP_CWORD; i++)); do
    word=\${COMP_WORDS[i]}
    if ((skip)); then
      skip=0
      continue
    fi
    case $word in
    ${withValue.join(' | ')}) skip=1 ;;
    -*) ;;
    *) case $command in
      ${["''", ...unique(groups.map(([group = '']) => group))].join(' | ')}) command="\${command:+$command }$word" ;;
      *) place=$((place + 1)) ;;
      esac ;;
    esac
  done
  case $before in
${valueCases(options)}  esac
  case $command in
  '') _snapmerge_words '${firstWords(commands).join(' ')}' ;;
${unique(groups.map(([group = '']) => group))
  .map(
    (group) =>
      `  ${group}) _snapmerge_words '${groups.flatMap(([first, second = '']) => (first === group ? [second] : [])).join(' ')}' ;;\n`,
  )
  .join('')}${commands.map(bashCommand).join('')}  esac
}
_snapmerge_words() {
  COMPREPLY=($(compgen -W "$1" -- "$now"))
}
_snapmerge_names() {
  _snapmerge_words "$("\${COMP_WORDS[0]}" names "$1" 2>/dev/null)"
}
complete -o default -F _snapmerge snapmerge
`;
}

function valueCases(options: readonly OptionShape[]): string {
  const cases = new Map<string, string>();
  for (const { flag, value } of options) {
    if (value === 'none') continue;
    cases.set(flag, typeof value === 'string' ? 'return' : `_snapmerge_words '${value.join(' ')}' && return`);
  }
  return [...cases].map(([flag, action]) => `  ${flag}) ${action} ;;\n`).join('');
}

function bashCommand(command: CommandShape): string {
  const places = command.arguments.map(({ from, repeats }, index) => {
    const action =
      from === 'files'
        ? ':'
        : 'words' in from
          ? `_snapmerge_words '${from.words.join(' ')}'`
          : `_snapmerge_names ${from.names}`;
    return `    ${repeats ? '*' : index}) ${action} ;;\n`;
  });
  const flags = `_snapmerge_words '${command.options.map(({ flag }) => flag).join(' ')}'`;
  const rest = places.length === 0 ? '' : `    case $place in\n${places.join('')}    esac\n`;
  return `  '${command.name}')
    if [[ $now == -* ]]; then
      ${flags}
      return
    fi
${rest}    ;;
`;
}

/** Between single quotes, in brackets of _arguments. */
const zshText = (text: string): string =>
  text.replaceAll("'", "'\\''").replaceAll('[', '(').replaceAll(']', ')').replaceAll(':', ' -');

function zshScript(commands: readonly CommandShape[]): string {
  const tops = firstWords(commands).map((word) => {
    const command = commands.find(({ name }) => name === word);
    return `    '${word}:${zshText(command?.description ?? '')}'`;
  });
  return `#compdef snapmerge
# snapmerge completion zsh
_snapmerge_names() {
  local -a names
  names=(\${(f)"$(snapmerge names \${@[-1]} 2>/dev/null)"})
  compadd "\${@[1,-2]}" -a names
}
_snapmerge() {
  local -a commands
  local state line
  commands=(
${tops.join('\n')}
  )
  _arguments -C '1:command:->command' '*::argument:->argument'
  case $state in
  command) _describe command commands ;;
  argument)
    case $words[1] in
${commands.map(zshCommand).join('')}    esac
    ;;
  esac
}
if [ "$funcstack[1]" = _snapmerge ]; then _snapmerge "$@"; else compdef _snapmerge snapmerge; fi
`;
}

function zshCommand({ name, options, arguments: places }: CommandShape): string {
  const [first, second] = name.split(' ');
  const flags = options.map(({ flag, description, value }) => {
    const text = `${flag}[${zshText(description)}]`;
    if (value === 'none') return `'${text}'`;
    if (typeof value !== 'string') return `'${text}:value:(${value.join(' ')})'`;
    return `'${text}:value:${value === 'file' ? '_files' : ' '}'`;
  });
  const inGroup = second === undefined ? [] : [`'1:command:(${second})'`];
  const positions = places.map(({ name: what, from, repeats }, index) => {
    const at = repeats ? '*' : `${index + 1 + inGroup.length}`;
    const action =
      from === 'files' ? '_files' : 'words' in from ? `(${from.words.join(' ')})` : `_snapmerge_names ${from.names}`;
    return `'${at}:${what}:${action}'`;
  });
  return `    ${first}) _arguments ${[...flags, ...inGroup, ...positions].join(' \\\n      ')} ;;\n`;
}

const fishText = (text: string): string => `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;

function fishScript(commands: readonly CommandShape[]): string {
  const tops = firstWords(commands).map((word) => {
    const description = commands.find(({ name }) => name === word)?.description ?? '';
    return `complete -c snapmerge -f -n __fish_use_subcommand -a ${word} -d ${fishText(description)}`;
  });
  return `# snapmerge completion fish
function __snapmerge_place --description 'how many arguments stand behind the command'
    set -l words (commandline -opc)
    set -l place -2
    for word in $words
        string match -q -- '-*' $word; or set place (math $place + 1)
    end
    test $place -eq $argv[1]
end
${[...tops, ...commands.flatMap(fishCommand)].join('\n')}
`;
}

function fishCommand({ name, options, arguments: places }: CommandShape): readonly string[] {
  const [first, second] = name.split(' ');
  const here = `__fish_seen_subcommand_from ${second ?? first}`;
  const group =
    second === undefined ? [] : [`complete -c snapmerge -f -n '__fish_seen_subcommand_from ${first}' -a ${second}`];
  const flags = options.map(({ flag, description, value }) => {
    const takes =
      value === 'none'
        ? ''
        : value === 'file'
          ? ' -r -F'
          : typeof value === 'string'
            ? ' -x'
            : ` -x -a '${value.join(' ')}'`;
    return `complete -c snapmerge -n '${here}' -l ${flag.slice(2)} -d ${fishText(description)}${takes}`;
  });
  const positions = places.map(({ from, repeats }, index) => {
    const when = repeats || second !== undefined ? here : `${here}; and __snapmerge_place ${index}`;
    if (from === 'files') return `complete -c snapmerge -n '${when}' -F`;
    const words = 'words' in from ? `'${from.words.join(' ')}'` : `'(snapmerge names ${from.names} 2>/dev/null)'`;
    return `complete -c snapmerge -f -n '${when}' -a ${words}`;
  });
  const nothing = places.length === 0 ? [`complete -c snapmerge -f -n '${here}'`] : [];
  return [...group, ...nothing, ...flags, ...positions];
}
