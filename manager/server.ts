/** What the manager serves: `/worker`, `/client`, `/files` and, unless it has none, the dashboard. */

import { Hono } from "hono";

import { formatHostPort, hostAddresses, isOwnHost } from "../shared/addresses.ts";
import { plainText } from "../shared/plain_text.ts";
import { refusal } from "../shared/runtime/request_limits.ts";
import {
  type App,
  isOwnOrigin,
  serve,
  type Server,
  upgradeSocket,
} from "../shared/runtime/serve.ts";
import type { SocketHandlers } from "../shared/runtime/socket.ts";
import { addDashboardRoutes, type DashboardOptions } from "./dashboard/routes.ts";
import type { Door } from "./door.ts";
import { addFileRoutes, type FileRouteOptions } from "./file_routes.ts";
import { tell } from "./notice.ts";
import type { Place } from "./place.ts";

/** Of what is told of a request that failed. */
const FAULT_CHARS_MAX = 500;

/** What the routes lead to. */
export interface ManagerServerOptions extends FileRouteOptions {
  readonly place: Place;
  readonly acceptWorker: () => SocketHandlers;
  readonly acceptClient: () => SocketHandlers;
  readonly door: Door;
  /** Absent when there is none. */
  readonly dashboard: Omit<DashboardOptions, "isSecure" | "refuse"> | undefined;
}

/** `{route: the methods that it takes}`. */
const METHODS: Readonly<Record<string, string>> = {
  "/worker": "GET",
  "/client": "GET",
  "/files/:name": "GET, PUT",
};

/**
 * Starts serving.
 *
 * @throws {Error} When the address cannot be listened on.
 */
export function startServer(options: ManagerServerOptions): Server {
  const { place, door } = options;
  const app = new Hono();
  const ownNames = new Set(place.names);
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
  const isSecure = place.tls !== undefined;
  addFileRoutes(app, options, () => ({ requestCount: server.requestCount, isSecure }));
  const { dashboard } = options;
  if (dashboard !== undefined) {
    addDashboardRoutes(app, { ...dashboard, isSecure, refuse: door.refuse });
  }
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
  app.onError((error, context) => {
    tell(`a request failed: ${plainText(error.message, FAULT_CHARS_MAX)}`);
    return context.text("The manager failed at this request", 500);
  });
  const server = listen(app, place, door);
  return server;
}

function listen(app: App, { host, port, tls }: Place, { refuse }: Door): Server {
  try {
    return serve(app, { hostname: host, port, tls, refused: refuse });
  } catch (cause) {
    const at = formatHostPort(host, port);
    throw new Error(
      `Cannot listen on "${at}" as the address of this manager: ${describeFailure(cause, port)}`,
      { cause },
    );
  }
}

/** What the runtimes say of an address, in the same words. */
function describeFailure(error: unknown, port: number): string {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  const message = error instanceof Error ? error.message : String(error);
  // Bun says so of a name that leads nowhere, too; a free port is never in use.
  const isTaken = code === "EADDRINUSE" && port !== 0;
  if (isTaken) return "another process listens there; port 0 is any free one";
  if (code === "EACCES") return "only root may listen on that port; port 0 is any free one";
  // A name that leads nowhere: Deno has no code for it, and Bun takes it for an address.
  const isNowhere = code === "EADDRNOTAVAIL" || code === "EADDRINUSE" ||
    message.includes("lookup address");
  if (!isNowhere) return message;
  return `this machine has no such address; there are ${hostAddresses().join(", ")}, ` +
    '127.0.0.1, and ":PORT" for all of them';
}
