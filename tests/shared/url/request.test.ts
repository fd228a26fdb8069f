import { expect, test } from "bun:test";

import {
  describeAnswer,
  redirectTarget,
  requestUrl,
  type UrlAnswer,
  UrlError,
  type UrlRequest,
} from "../../../shared/url/request.ts";
import { UrlServer } from "../../url_server.ts";

const GET: UrlRequest = { method: "GET", headers: {}, signal: new AbortController().signal };
const BASIC = `Basic ${btoa("user:s e@cret")}`;

/** A url with a user. */
function withUser(url: string): string {
  return url.replace("//", "//user:s%20e%40cret@");
}

async function failureOf(asked: Promise<UrlAnswer>): Promise<UrlError> {
  const error = await asked.then(() => undefined, (error: unknown) => error);
  expect(error).toBeInstanceOf(UrlError);
  const { message, stack, cause } = error as UrlError;
  expect(`${message}${stack}${JSON.stringify(cause)}`).not.toContain("cret");
  return error as UrlError;
}

test("requestUrl() follows redirects, and gives the user's name to its own host only", async () => {
  await using other = await UrlServer.open((_request, response) => void response.end("there"));
  await using server = await UrlServer.open((request, response) => {
    const to = request.url === "/a" ? "/b" : other.url("/c?key=cret");
    response.writeHead(302, { "Location": to, "Set-Cookie": "session=cret" }).end("elsewhere");
  });
  const { response, who } = await requestUrl(withUser(server.url("/a")), GET);
  expect(await response.text()).toBe("there");
  expect(who).toBe(`"${server.url("/a")}" led to "${other.url("/c")}", which`);
  expect(server.lines("authorization")).toEqual([`GET /a ${BASIC}`, `GET /b ${BASIC}`]);
  expect(other.heard).toHaveLength(1);
  expect(other.heard[0]!.headers["authorization"]).toBeUndefined();
  expect(other.heard[0]!.headers["cookie"]).toBeUndefined();
});

test("requestUrl() gives up after ten redirects", async () => {
  await using server = await UrlServer.open((request, response) => {
    response.writeHead(307, { Location: `${request.url}x` }).end();
  });
  const { kind, message } = await failureOf(requestUrl(withUser(server.url("/")), GET));
  expect(kind).toBe("refused");
  expect(message).toContain("leads on to");
  expect(server.heard).toHaveLength(11);
});

test("requestUrl() follows no redirect to what is no http url, or to nowhere", async () => {
  await using server = await UrlServer.open((request, response) => {
    const to = { "/file": "file:///etc/passwd", "/ftp": "ftp://u:cret@h/" }[request.url ?? ""];
    response.writeHead(302, to === undefined ? {} : { Location: to }).end();
  });
  const messageOf = async (path: string) => {
    return (await failureOf(requestUrl(server.url(path), GET))).message;
  };
  expect(await messageOf("/file")).toBe(
    `"${server.url("/file")}" leads to "file:///etc/passwd", which is no http:// or https:// url`,
  );
  expect(await messageOf("/ftp")).toContain('leads to "ftp://h/"');
  expect(await messageOf("/none")).toContain("answered 302 and does not say where to go on");
});

test("requestUrl() says who takes no connection, without what is secret", async () => {
  const gone = await UrlServer.open(() => {});
  const url = withUser(gone.url("/a?key=cret"));
  await gone[Symbol.asyncDispose]();
  const { kind, message } = await failureOf(requestUrl(url, GET));
  expect(kind).toBe("broken");
  expect(message).toStartWith(`Cannot ask "http://${new URL(url).host}/a": `);
});

test("describeAnswer() repeats nothing secret that a server says back", async () => {
  await using server = await UrlServer.open((request, response) => {
    const { url = "", headers: { authorization = "" } } = request;
    if (url.startsWith("/a")) {
      return void response.writeHead(307, { Location: "/b?key=oth%65r1" }).end();
    }
    const text = `Cannot GET ${url} other1 ${authorization} s e@cret signat+ure ok`;
    response.writeHead(404, { "Content-Type": "text/plain" }).end(text);
  });
  const refused = await describeAnswer(
    await requestUrl(withUser(server.url("/c?x=1&sig=signat%2Bure")), GET),
  );
  expect(refused).toEndWith(
    "answered 404 Not Found: Cannot GET /c?x=1&sig=… other1 Basic … … … ok",
  );
  const led = await describeAnswer(await requestUrl(withUser(server.url("/a?key=secret")), GET));
  expect(led).toEndWith(": Cannot GET /b?key=… … Basic … … signat+ure ok");
});

test("redirectTarget() leaves TLS only where the url itself had none", () => {
  const follow = (from: string, location: string, wish: object = {}) => {
    const first = new URL(from);
    const hop = { first, url: new URL("https://b/c/d"), method: "GET", status: 302, location };
    try {
      return redirectTarget({ ...hop, ...wish } as Parameters<typeof redirectTarget>[0], "it").href;
    } catch (error) {
      return (error as Error).message;
    }
  };
  expect(follow("http://a/", "http://c/")).toBe("http://c/");
  expect(follow("https://a/", "http://c/")).toBe('it leads to "http://c/", which is not encrypted');
  expect(follow("https://a/", "../e?f#g")).toBe("https://b/e?f");
  expect(follow("https://a/", "https://x:cret@c/")).toBe("https://c/");
  expect(follow("https://a/", "/e", { method: "PUT" })).toBe(
    "it answered 302, which takes no PUT elsewhere",
  );
  expect(follow("https://a/", "/e", { method: "PUT", status: 308 })).toBe("https://b/e");
});
