import { expect, test } from "bun:test";

import { UsageError } from "../../shared/command_line.ts";
import { parseWorkerArguments } from "../../worker/options.ts";

test("parseWorkerArguments() reads every option", () => {
  const argv = "--access /a/b.json --cores 2.5 --memory 8GB --disk 1TB --gpus 1 --feature a " +
    "--feature b --workspace /w --idle-timeout 30s --wall-time 2h --single --verbose " +
    "--resource license=2 --resource scratch=1 --share 2/3 --pin-cores --clean-env --listen [::1]:9000 --advertise node7 --advertise 10.0.0.7:80 --insecure " +
    "--log /l/w.log --log-level debug";
  expect(parseWorkerArguments(argv.split(" "), {})).toEqual({
    target: { access: "/a/b.json" },
    resources: {
      cores: 2.5,
      memoryBytes: 8e9,
      diskBytes: 1e12,
      gpus: 1,
      custom: { license: 2, scratch: 1 },
    },
    share: { index: 1, count: 3 },
    hasPinnedCores: true,
    features: ["a", "b"],
    workspace: "/w",
    idleTimeoutMs: 30_000,
    wallTimeMs: 7_200_000,
    isSingle: true,
    peers: {
      listen: { host: "::1", port: 9000 },
      advertise: [{ host: "node7" }, { host: "10.0.0.7", port: 80 }],
      isInsecure: true,
    },
    hasCleanEnvironment: true,
    logPath: "/l/w.log",
    logLevel: "debug",
    isVerbose: true,
  });
});

test("parseWorkerArguments() takes variables where no option is given", () => {
  const env = { TENDRIL_CORES: "3", TENDRIL_NAME: "blast", TENDRIL_IDLE_TIMEOUT: "1m" };
  expect(parseWorkerArguments(["--cores", "1"], env)).toMatchObject({
    target: { name: "blast" },
    resources: { cores: 1 },
    idleTimeoutMs: 60_000,
  });
  expect(parseWorkerArguments([], { TENDRIL_ACCESS: "/a" })).toMatchObject({
    target: { access: "/a" },
  });
});

test("parseWorkerArguments() refuses a level that logs do not have", () => {
  expect(() => parseWorkerArguments(["--log-level", "loud"], {})).toThrow(
    'Cannot read --log-level "loud" as a level: expected debug, info, warn, error',
  );
  expect(parseWorkerArguments([], { TENDRIL_LOG_LEVEL: "error" })).toMatchObject({
    logLevel: "error",
  });
});

test("parseWorkerArguments() takes the url of a manager", () => {
  expect(parseWorkerArguments(["http://10.0.0.1:9000/"], {})).toMatchObject({
    target: { url: "http://10.0.0.1:9000" },
  });
  expect(parseWorkerArguments(["--help"], {})).toBe("help");
});

test("parseWorkerArguments() takes localhost for loopback, and a port alone for every address", () => {
  const hostOf = (at: string) => {
    const options = parseWorkerArguments(["--listen", at], {});
    return options === "help" ? undefined : options.peers.listen;
  };
  expect(hostOf("localhost:9000")).toEqual({ host: "127.0.0.1", port: 9000 });
  expect(hostOf(":9000")).toEqual({ host: "::", port: 9000 });
});

test("parseWorkerArguments() refuses what it does not know", () => {
  const wrong: [string[], string][] = [
    [["--cores", "0"], 'Cannot read --cores "0" as a number above 0'],
    [["--cores", "many"], 'Cannot read --cores "many" as a number above 0'],
    [["--cores", "-1"], 'Cannot read --cores "-1" as a number above 0'],
    [["--resource", "license"], 'Cannot read --resource "license" as NAME=N: it states no amount'],
    [["--resource", "=2"], 'Cannot read --resource "=2" as NAME=N: "" is no name of a resource'],
    [["--resource", "cores=4"], '"cores" is no name of a resource: expected up to 64 letters'],
    [["--resource", "a=1.5"], 'Cannot read --resource "a=1.5" as NAME=N: "1.5" is no whole number'],
    [["--resource", "a=-1"], '"-1" is no whole number of 0 or more'],
    [["--resource", "a=1", "--resource", "a=2"], '"a" is stated twice'],
    [["--share", "3/2"], 'Cannot read --share "3/2" as K/N: expected 1/2 for the first of two'],
    [["--gpus", "1.5"], 'Cannot read --gpus "1.5" as a whole number of 0 or more'],
    [["ftp://x"], 'Cannot read "ftp://x" as the url of a manager'],
    [["http://a", "http://b"], 'Cannot take "http://b" as an argument of worker'],
    [["--colour"], 'Cannot take "--colour" as an option of worker: expected --name, '],
    [["--memory", "8XB"], "8XB"],
    [["--listen", "host:65536"], 'Cannot read --listen "host:65536" as an address'],
    [["--advertise", "a/b"], 'Cannot read --advertise "a/b" as an address'],
    [["--advertise", "0.0.0.0"], 'Cannot read --advertise "0.0.0.0" as an address'],
  ];
  for (const [argv, message] of wrong) {
    expect(() => parseWorkerArguments(argv, {})).toThrow(UsageError);
    expect(() => parseWorkerArguments(argv, {})).toThrow(message);
  }
});
