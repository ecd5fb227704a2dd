// The line between a browser and its server, to be cut, held up and mended: a proxy of TCP.

import { once } from 'node:events';
import { type AddressInfo, type Server as Listener, type Socket, connect, createServer } from 'node:net';

export class Line {
  url = '';
  private readonly pairs = new Set<{ near: Socket; far: Socket }>();
  private listener?: Listener;
  private held = false;

  private constructor(private readonly to: string) {}

  /** A line to the server at `to`. */
  static async make(to: string): Promise<Line> {
    const line = new Line(to);
    await line.mend();
    return line;
  }

  /** Everything is passed on again; new connections are taken. */
  async mend(): Promise<void> {
    if (this.held) for (const { near, far } of this.pairs) far.pipe(near);
    this.held = false;
    if (this.listener) return;
    const { hostname, port } = new URL(this.to);
    const listener = createServer((near) => {
      const far = connect(Number(port), hostname);
      const pair = { near, far };
      this.pairs.add(pair);
      near.pipe(far);
      if (!this.held) far.pipe(near);
      for (const socket of [near, far]) {
        socket.on('error', () => {});
        socket.on('close', () => {
          near.destroy();
          far.destroy();
          this.pairs.delete(pair);
        });
      }
    });
    listener.listen(this.url ? Number(new URL(this.url).port) : 0, '127.0.0.1');
    await once(listener, 'listening');
    this.url = `http://127.0.0.1:${(listener.address() as AddressInfo).port}`;
    this.listener = listener;
  }

  /** What the server says is held up; what the browser says goes through. */
  hold(): void {
    this.held = true;
    for (const { near, far } of this.pairs) far.unpipe(near);
  }

  /** What stands is silent from now on, both ways and for good; the next one stands. */
  lose(): void {
    this.held = false;
    for (const { near, far } of this.pairs) {
      near.unpipe(far);
      far.unpipe(near);
    }
  }

  /** All connections break, what is held up is lost, and no new one is taken. */
  async cut(): Promise<void> {
    this.held = false;
    const listener = this.listener;
    this.listener = undefined;
    this.sever();
    if (listener) await new Promise((closed) => listener.close(closed));
  }

  /** Every connection breaks; the next one stands. */
  sever(): void {
    for (const { near, far } of this.pairs) {
      near.destroy();
      far.destroy();
    }
  }
}
