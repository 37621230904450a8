// The one source of chance in the simulation: a small generator whose whole state is a number, so that a saved machine
// replays exactly. No clock and no Math.random may enter.

export interface Random {
  state: number;
}

/** A number from 0 up to, not including, `below`. */
export function draw(random: Random, below: number): number {
  random.state = (random.state + 0x6d2b79f5) | 0;
  let t = Math.imul(random.state ^ (random.state >>> 15), 1 | random.state);
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
  return Math.floor((((t ^ (t >>> 14)) >>> 0) / 4294967296) * below);
}
