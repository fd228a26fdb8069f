/** An FTP server of a test (RFC 959, 2428, 3659), with files in memory, that fails as it is told. */

import { once } from "node:events";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";

/** How a server behaves. */
export interface FtpServerOptions {
  /** `{path: contents}`, from where a login leads. */
  readonly files?: { readonly [path: string]: Uint8Array };
  /** `{name: password}`; of anonymous any. */
  readonly users?: { readonly [name: string]: string };
  /** False refuses to write. */
  readonly canWrite?: boolean;
  /** Knows `PASV` alone, and tells an address that is not its own. */
  readonly isOld?: boolean;
  /** Sends so many bytes of a file, and then breaks the connection; once. */
  readonly breaksAfter?: number;
  /** Ends a file so many bytes too soon, and says that all was sent; once. */
  readonly cutsBytes?: number;
}

/** A server on a free port of this machine. */
export class FtpServer implements AsyncDisposable {
  readonly files: Map<string, Uint8Array>;
  /** All lines that it was sent, in order; passwords too. */
  readonly heard: string[] = [];
  readonly #options: FtpServerOptions;
  readonly #server: Server;
  readonly #open: Set<Socket | Server> = new Set();
  #hasBroken = false;

  private constructor(options: FtpServerOptions) {
    this.#options = options;
    this.files = new Map(Object.entries(options.files ?? {}));
    this.#server = createServer((socket) => this.#serve(socket));
  }

  static async open(options: FtpServerOptions = {}): Promise<FtpServer> {
    const server = new FtpServer(options);
    server.#server.listen(0, "127.0.0.1");
    await once(server.#server, "listening");
    return server;
  }

  /** A url of it; `user` is `name:password@`. */
  url(path: string, user = ""): string {
    return `ftp://${user}127.0.0.1:${portOf(this.#server)}/${path}`;
  }

  /** How often a command was heard. */
  count(command: string): number {
    return this.heard.filter((line) => line.split(" ")[0] === command).length;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const one of this.#open) {
      if ("destroy" in one) one.destroy();
      else one.close();
    }
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #serve(control: Socket): void {
    this.#keep(control);
    const session = new Session(control);
    let text = "";
    control.on("data", (chunk) => {
      text += String(chunk);
      for (let end = text.indexOf("\r\n"); end >= 0; end = text.indexOf("\r\n")) {
        const line = text.slice(0, end);
        text = text.slice(end + 2);
        this.heard.push(line);
        session.turn = session.turn.then(() => this.#answer(session, line));
      }
    });
    control.write("220-Welcome\r\n220 to a test\r\n");
  }

  async #answer(session: Session, line: string): Promise<void> {
    const [command = "", ...words] = line.split(" ");
    const path = words.join(" ");
    const { canWrite = true, isOld = false } = this.#options;
    if (["STOR", "MKD", "DELE", "RNFR", "RNTO"].includes(command) && !canWrite) {
      return session.say("550 Not for you");
    }
    switch (command) {
      case "USER":
        session.user = path;
        return session.say("331 Password?");
      case "PASS":
        return session.say(this.#isRight(session.user, path) ? "230 Hello" : "530 Wrong password");
      case "TYPE":
      case "NOOP":
        return session.say("200 Fine");
      case "EPSV":
        if (isOld) return session.say("502 What?");
        return session.say(`229 Over there (|||${await this.#listen(session)}|)`);
      case "PASV": {
        const port = await this.#listen(session);
        return session.say(`227 Over there (10,0,0,1,${port >> 8},${port & 255}).`);
      }
      case "SIZE": {
        const bytes = this.files.get(path);
        return session.say(bytes === undefined ? "550 No such file" : `213 ${bytes.length}`);
      }
      case "MDTM":
        return session.say(this.files.has(path) ? "213 20260101000000" : "550 No such file");
      case "REST":
        session.startByte = Number(path);
        return session.say("350 From there");
      case "RETR":
        return await this.#send(session, path);
      case "STOR":
        return await this.#take(session, path);
      case "MKD":
        return session.say("257 Made");
      case "DELE":
        return session.say(this.files.delete(path) ? "250 Gone" : "550 No such file");
      case "RNFR":
        session.from = path;
        return session.say("350 To where?");
      case "RNTO": {
        const bytes = this.files.get(session.from);
        if (bytes === undefined) return session.say("550 No such file");
        this.files.delete(session.from);
        this.files.set(path, bytes);
        return session.say("250 Renamed");
      }
      case "QUIT":
        session.say("221 Bye");
        return void session.control.end();
      default:
        return session.say("500 What?");
    }
  }

  async #send(session: Session, path: string): Promise<void> {
    const whole = this.files.get(path);
    if (whole === undefined) return session.say("550 No such file");
    const { breaksAfter, cutsBytes = 0 } = this.#options;
    const isGood = this.#hasBroken;
    this.#hasBroken = true;
    const bytes = whole.subarray(session.startByte, whole.length - (isGood ? 0 : cutsBytes));
    session.startByte = 0;
    session.say("150 Here it comes");
    const data = await session.connection();
    if (breaksAfter !== undefined && !isGood) {
      await new Promise<void>((resolve) => {
        data.write(bytes.subarray(0, breaksAfter), () => resolve());
      });
      data.destroySoon();
      session.control.destroySoon();
      return;
    }
    await new Promise<void>((resolve) => data.end(bytes, () => resolve()));
    session.say("226 All sent");
  }

  async #take(session: Session, path: string): Promise<void> {
    session.say("150 Go on");
    const parts: Uint8Array[] = [];
    for await (const part of await session.connection()) parts.push(part as Uint8Array);
    this.files.set(path, new Uint8Array(Buffer.concat(parts)));
    session.say("226 All here");
  }

  async #listen(session: Session): Promise<number> {
    const listener = createServer();
    this.#open.add(listener);
    session.data = once(listener, "connection").then(([socket]) => {
      listener.close();
      this.#keep(socket as Socket);
      return socket as Socket;
    });
    listener.listen(0, "127.0.0.1");
    await once(listener, "listening");
    return portOf(listener);
  }

  #isRight(user: string, password: string): boolean {
    return user === "anonymous" || this.#options.users?.[user] === password;
  }

  #keep(socket: Socket): void {
    this.#open.add(socket);
    // Whoever breaks a connection is tested, and not this.
    socket.on("error", () => {});
    socket.on("close", () => this.#open.delete(socket));
  }
}

/** One control connection. */
class Session {
  readonly control: Socket;
  user = "";
  from = "";
  startByte = 0;
  data: Promise<Socket> | undefined;
  /** Commands are answered one after the other. */
  turn: Promise<void> = Promise.resolve();

  constructor(control: Socket) {
    this.control = control;
  }

  say(line: string): void {
    this.control.write(`${line}\r\n`);
  }

  async connection(): Promise<Socket> {
    if (this.data === undefined) throw new Error("no connection for data was asked for");
    return await this.data;
  }
}

function portOf(server: Server): number {
  return (server.address() as AddressInfo).port;
}
