/** What the manager serves: `/worker`, `/client` and `/files`. Loopback only. */

import { Hono } from "hono";

import { serve, type Server, upgradeSocket } from "../shared/runtime/serve.ts";
import type { SocketHandlers } from "../shared/runtime/socket.ts";
import { addFileRoutes, type FileRouteOptions } from "./file_routes.ts";

/** What the routes lead to. */
export interface ManagerServerOptions extends FileRouteOptions {
  readonly host: string;
  readonly port: number;
  readonly acceptWorker: () => SocketHandlers;
  readonly acceptClient: () => SocketHandlers;
}

/** Starts serving; throws when the address cannot be listened on. */
export function startServer(options: ManagerServerOptions): Server {
  const app = new Hono();
  app.get("/worker", upgradeSocket(() => options.acceptWorker()));
  app.get("/client", upgradeSocket(() => options.acceptClient()));
  addFileRoutes(app, options);
  app.onError((_error, context) => context.text("The manager failed at this request", 500));
  return serve(app, { hostname: options.host, port: options.port });
}
