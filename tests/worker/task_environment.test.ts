import { expect, test } from "bun:test";

import { NO_RESOURCES } from "../../shared/resources.ts";
import { ownChildEnvironment } from "../../shared/runtime/self_command.ts";
import { NO_DEVICES } from "../../worker/core/device.ts";
import {
  helperEnvironment,
  inheritedEnvironment,
  tryEnvironment,
} from "../../worker/task_environment.ts";

const USERS = {
  PATH: "/bin",
  HOME: "/home/u",
  LANG: "C",
  LC_ALL: "C",
  TZ: "UTC",
  SHELL: "/bin/sh",
  USER: "u",
  LOGNAME: "u",
  TMPDIR: "/scratch",
};
const OTHERS = {
  AWS_SECRET_ACCESS_KEY: "key",
  SLURM_JOB_ID: "7",
  LD_PRELOAD: "x.so",
  NODE_OPTIONS: "--require ./x.js",
  NODE_PATH: "/x",
  NODE_EXTRA_CA_CERTS: "/ca.pem",
  DENO_DIR: "/deno",
};
const REMOVED = {
  BUN_OPTIONS: "--preload ./x.js",
  TENDRIL_ACCESS: "/a.json",
  TENDRIL_HOME: "/h",
  DISPLAY: ":0",
  PWD: "/w",
  OLDPWD: "/v",
};

test("inheritedEnvironment() leaves the user's variables, without the runtime's and our own", () => {
  expect(inheritedEnvironment({ ...USERS, ...OTHERS, ...REMOVED })).toEqual({
    ...USERS,
    ...OTHERS,
  });
});

test("inheritedEnvironment() leaves little when it is to be clean", () => {
  const env = { ...USERS, ...OTHERS, ...REMOVED };
  expect(inheritedEnvironment(env, { isClean: true })).toEqual(USERS);
  expect(inheritedEnvironment({}, { isClean: true })).toEqual({});
});

test("tryEnvironment() adds what the task states to a clean environment", () => {
  const inherited = inheritedEnvironment({ ...USERS, ...OTHERS }, { isClean: true });
  const env = tryEnvironment(inherited, {
    taskId: 3 as never,
    try: 1,
    workerMark: "m",
    directory: "/d",
    temporaryDirectory: "/d/tmp",
    env: { STATED: "yes" },
    activation: {
      rootPath: "/env",
      pathDirectories: ["/env/bin"],
      set: { VIRTUAL_ENV: "/env", STATED: "no", TMPDIR: "/elsewhere" },
      unset: ["LANG"],
    },
    resources: NO_RESOURCES,
    devices: NO_DEVICES,
    gpuVariable: undefined,
  });
  expect(env).toMatchObject({ STATED: "yes", PATH: "/env/bin:/bin", TMPDIR: "/d/tmp", PWD: "/d" });
  expect(env).toMatchObject({ VIRTUAL_ENV: "/env" });
  for (const name of ["AWS_SECRET_ACCESS_KEY", "LANG"]) expect(env).not.toHaveProperty(name);
});

test("helperEnvironment() has the mark, and nothing that would steer the program", () => {
  const { NODE_OPTIONS: _options, NODE_PATH: _path, DENO_DIR: _dir, ...others } = OTHERS;
  expect(helperEnvironment({ ...USERS, ...OTHERS, ...REMOVED }, "m")).toEqual({
    ...USERS,
    ...others,
    TENDRIL_WORKER_MARK: "m",
  });
});

test("ownChildEnvironment() keeps what a library may need", () => {
  expect(ownChildEnvironment({ ...OTHERS, BUN_OPTIONS: "x" })).toEqual({
    AWS_SECRET_ACCESS_KEY: "key",
    SLURM_JOB_ID: "7",
    LD_PRELOAD: "x.so",
    NODE_EXTRA_CA_CERTS: "/ca.pem",
  });
});
