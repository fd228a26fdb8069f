/** What the manager serves: `/worker`, `/client` and `/files`. */

import { Hono } from "hono";

import { isOwnHost } from "../shared/addresses.ts";
import type { KeyPair } from "../shared/certificate.ts";
import { serve, type Server, upgradeSocket } from "../shared/runtime/serve.ts";
import type { SocketHandlers } from "../shared/runtime/socket.ts";
import { addFileRoutes, type FileRouteOptions } from "./file_routes.ts";
import type { RefusalKind } from "./refusal.ts";

/** What the routes lead to. */
export interface ManagerServerOptions extends FileRouteOptions {
  readonly host: string;
  readonly port: number;
  /** Names under which it may be asked, besides addresses and `localhost`. */
  readonly names: readonly string[];
  /** What it proves itself with; absent, it serves in plain. */
  readonly tls: KeyPair | undefined;
  /** Told of each request that is turned away. */
  readonly refused: (kind: RefusalKind) => void;
  readonly acceptWorker: () => SocketHandlers;
  readonly acceptClient: () => SocketHandlers;
}

/** Starts serving; throws when the address cannot be listened on. */
export function startServer(options: ManagerServerOptions): Server {
  const { host, port, tls, names, refused } = options;
  const app = new Hono();
  const ownNames = new Set([host, ...names].map((name) => name.toLowerCase()));
  app.use(async (context, next) => {
    if (isOwnHost(context.req.header("host"), ownNames)) return await next();
    // A page whose name was made to point here (DNS rebinding) sends the name that it came by.
    refused("host");
    return context.text("This server does not go by that name", 421);
  });
  app.get("/worker", upgradeSocket(() => options.acceptWorker()));
  app.get("/client", upgradeSocket(() => options.acceptClient()));
  addFileRoutes(app, options);
  app.onError((_error, context) => context.text("The manager failed at this request", 500));
  return serve(app, { hostname: host, port, tls });
}
