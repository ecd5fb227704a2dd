// A bad network between browsers and their server: the proxy of tests/support/proxy.rs, as the program that `make e2e` makes of it.

import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';

const PROGRAM = fileURLToPath(new URL('../../target/debug/bad-network', import.meta.url));

export class Network {
  /** What repeats it: `SNUG_DEV_NETWORK_SEED` sets it. */
  readonly seed = process.env.SNUG_DEV_NETWORK_SEED ?? String(randomInt(2 ** 32));
  url = '';
  private readonly program: ChildProcessByStdio<Writable, Readable, null>;
  private readonly lines: AsyncIterableIterator<string>;

  private constructor(to: string) {
    this.program = spawn(PROGRAM, [new URL(to).host, this.seed], { stdio: ['pipe', 'pipe', 'inherit'] });
    this.lines = createInterface({ input: this.program.stdout })[Symbol.asyncIterator]();
  }

  /** A network to the server at `to`, good at first. */
  static async make(to: string): Promise<Network> {
    const network = new Network(to);
    const failed = new Promise<never>((_, fail) =>
      network.program.once('error', (error) => fail(new Error(`${error.message}: make it by cargo build --package bad-network`))),
    );
    network.url = `http://${await Promise.race([network.line(), failed])}`;
    return network;
  }

  private async line(): Promise<string> {
    const { value, done } = await this.lines.next();
    if (done) throw new Error('the bad network has ended');
    return value as string;
  }

  private async ask(what: string): Promise<{ count: number; faults: string }> {
    this.program.stdin.write(`${what}\n`);
    const [count, ...faults] = (await this.line()).split(' ');
    return { count: Number(count), faults: faults.join(' ') };
  }

  /** From now on it cuts, stalls, half-closes, delays and splits. */
  async bad(): Promise<void> {
    await this.ask('bad');
  }

  /** No more of that: what it has done. */
  async good(): Promise<string> {
    return (await this.ask('good')).faults;
  }

  /** How often it has done something to a connection. */
  async count(): Promise<number> {
    return (await this.ask('how often?')).count;
  }

  end(): void {
    this.program.kill();
  }
}
