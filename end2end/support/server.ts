// A Snug of one's own: the release binary on a free port, with a folder that is thrown away.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const PROGRAM = process.env.SNUG_DEV_BIN || fileURLToPath(new URL('../../target/release/snug', import.meta.url));
/** How long a server may take to listen, or to stop, in milliseconds. */
const PATIENCE = 20_000;

/** All people of the tests come from one address, and do in seconds what others do in hours: what slows that down is lifted. */
const LIFTED = ['sign-ups-per-address', 'rooms-per-hour', 'sockets-per-minute', 'sockets-per-address', 'command-rate'].flatMap((limit) => [
  `--${limit}`,
  '100000',
]);

export class Server {
  /** Where it listens; the same after a restart. */
  url = '';
  /** Everything that it has said. */
  log = '';
  private process?: ChildProcess;
  private readonly secrets = new Set<string>();

  private constructor(
    readonly data: string,
    private readonly flags: string[],
  ) {}

  static async make(flags: string[] = []): Promise<Server> {
    const server = new Server(await mkdtemp(join(tmpdir(), 'snug-e2e-')), flags);
    await server.start();
    return server;
  }

  async start(): Promise<void> {
    const addr = this.url ? new URL(this.url).host : '127.0.0.1:0';
    // Nothing of this machine's own settings, and more of the log than usual, for `findings`.
    const env = { PATH: process.env.PATH, TZ: 'UTC', RUST_LOG: 'warn,snug=debug' };
    const args = ['serve', '--addr', addr, '--data', this.data, ...LIFTED, ...this.flags];
    const child = spawn(PROGRAM, args, { cwd: this.data, env, stdio: ['ignore', 'ignore', 'pipe'] });
    this.process = child;
    const lines = createInterface({ input: child.stderr });
    this.url = await new Promise<string>((listening, failed) => {
      const late = setTimeout(() => failed(new Error(`the server does not listen:\n${this.log}`)), PATIENCE);
      lines.on('line', (line) => {
        this.log += `${line}\n`;
        const address = /listening on (http:\/\/[\d.]+:\d+)/.exec(line)?.[1];
        if (address) {
          clearTimeout(late);
          listening(address);
        }
      });
      child.once('error', failed);
      child.once('exit', (code) => failed(new Error(`the server ended with ${code}:\n${this.log}`)));
    });
  }

  /** Asked to stop it must end well, and in time; killed it just ends. */
  async stop({ kill = false } = {}): Promise<void> {
    const child = this.process;
    this.process = undefined;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'exit', { signal: AbortSignal.timeout(PATIENCE) });
    child.kill(kill ? 'SIGKILL' : 'SIGTERM');
    const [code] = await ended.catch(() => {
      child.kill('SIGKILL');
      throw new Error(`the server does not stop:\n${this.log}`);
    });
    if (!kill && code !== 0) throw new Error(`the server stopped with ${code}:\n${this.log}`);
  }

  async restart(how: { kill: boolean }): Promise<void> {
    await this.stop(how);
    await this.start();
  }

  /** Stops it for good. */
  async end(): Promise<void> {
    await this.stop();
    await rm(this.data, { recursive: true, force: true });
    const findings = this.findings();
    if (findings.length) throw new Error(findings.join('\n'));
  }

  /** `text` (a password, what someone writes) must never stand in the log. Short ones are in it by chance. */
  keepSecret(text: string): void {
    if (text.length >= 8) this.secrets.add(text);
  }

  /** What must not be in the log and is. */
  findings(): string[] {
    const panics = this.log.split('\n').filter((line) => /panicked/.test(line));
    const told = [...this.secrets].filter((secret) => this.log.includes(secret));
    return [...panics.map((line) => `the server panicked: ${line}`), ...told.map((secret) => `the log has the secret ${secret}`)];
  }
}
