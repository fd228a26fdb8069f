/** What the manager serves: `/worker`, `/client` and `/files`. */

import { Hono } from "hono";

import { isOwnHost } from "../shared/addresses.ts";
import type { KeyPair } from "../shared/certificate.ts";
import { refusal } from "../shared/runtime/request_limits.ts";
import { isOwnOrigin, serve, type Server, upgradeSocket } from "../shared/runtime/serve.ts";
import type { SocketHandlers } from "../shared/runtime/socket.ts";
import type { Door } from "./door.ts";
import { addFileRoutes, type FileRouteOptions } from "./file_routes.ts";

/** What the routes lead to. */
export interface ManagerServerOptions extends FileRouteOptions {
  readonly host: string;
  readonly port: number;
  /** Names under which it may be asked, besides addresses and `localhost`. */
  readonly names: readonly string[];
  /** What it proves itself with; absent, it serves in plain. */
  readonly tls: KeyPair | undefined;
  readonly acceptWorker: () => SocketHandlers;
  readonly acceptClient: () => SocketHandlers;
  readonly door: Door;
}

/** `{route: the methods that it takes}`. */
const METHODS: Readonly<Record<string, string>> = {
  "/worker": "GET",
  "/client": "GET",
  "/files/:name": "GET, PUT",
};

/** Starts serving; throws when the address cannot be listened on. */
export function startServer(options: ManagerServerOptions): Server {
  const { host, port, tls, names, door } = options;
  const app = new Hono();
  const ownNames = new Set([host, ...names].map((name) => name.toLowerCase()));
  app.use(async (context, next) => {
    if (isOwnHost(context.req.header("host"), ownNames)) return await next();
    // A page whose name was made to point here (DNS rebinding) sends the name that it came by.
    door.refuse("host");
    return refusal(421, "This server does not go by that name");
  });
  app.use("/files/*", async (context, next) => {
    if (isOwnOrigin(context.req.raw)) return await next();
    door.refuse("origin");
    return refusal(403, "Pages of another origin are not served");
  });
  app.get("/worker", upgradeSocket(() => door.admit(options.acceptWorker)));
  app.get("/client", upgradeSocket(() => door.admit(options.acceptClient)));
  addFileRoutes(app, options);
  for (const [route, allow] of Object.entries(METHODS)) {
    app.all(route, () => {
      door.refuse("request");
      return refusal(405, `Cannot do that here: ${allow} only`, { allow });
    });
  }
  app.notFound(() => {
    door.refuse("request");
    return refusal(404, "There is nothing at this address");
  });
  app.onError((_error, context) => context.text("The manager failed at this request", 500));
  return serve(app, { hostname: host, port, tls, refused: door.refuse });
}
