import { expect, test } from "bun:test";

import { anyAddress, hostAddresses } from "../../shared/addresses.ts";
import { doorUrls, peerDoor } from "../../worker/peer_door.ts";

const PLAIN = { advertise: [], isInsecure: false };
const NEAR = ["http://127.0.0.1:4000"];
const FAR = ["https://10.0.0.1:4000", "https://127.0.0.1:4000"];
const OPEN = ["http://10.0.0.1:4000", "http://127.0.0.1:4000"];

test("peerDoor() stays on loopback, in plain, for a manager that only this host can reach", () => {
  for (const urls of [NEAR, ["http://localhost:1"], ["http://[::1]:1", "http://127.0.0.2:1"]]) {
    expect(peerDoor(urls, PLAIN)).toMatchObject({ host: "127.0.0.1", port: 0, isSecure: false });
  }
});

test("peerDoor() listens everywhere for any other manager, and speaks TLS as that one does", () => {
  expect(peerDoor(FAR, PLAIN)).toMatchObject({ host: anyAddress(), isSecure: true });
  expect(peerDoor(OPEN, PLAIN)).toMatchObject({ host: anyAddress(), isSecure: false });
  expect(peerDoor(FAR, { ...PLAIN, isInsecure: true })).toMatchObject({ isSecure: false });
});

test("peerDoor() listens where it is told to, with TLS when others can come there", () => {
  const at = (host: string) => ({ ...PLAIN, listen: { host, port: 9000 } });
  expect(peerDoor(NEAR, at("10.0.0.7"))).toMatchObject({
    host: "10.0.0.7",
    port: 9000,
    isSecure: true,
  });
  expect(peerDoor(NEAR, at("127.0.0.1"))).toMatchObject({ isSecure: false });
  expect(peerDoor(FAR, at("127.0.0.1"))).toMatchObject({ host: "127.0.0.1", isSecure: true });
  expect(peerDoor(NEAR, { ...PLAIN, advertise: [{ host: "node7" }] })).toMatchObject({
    host: "127.0.0.1",
    isSecure: true,
  });
});

test("doorUrls() publishes what is advertised first, and loopback only when there is no other", () => {
  const door = { host: "::", port: 0, isSecure: true, advertise: [{ host: "node7" }] };
  const urls = doorUrls(door, 9000);
  expect(urls[0]).toBe("https://node7:9000");
  expect(urls.length).toBe(1 + hostAddresses().length);
  expect(urls.filter((url) => /127\.0\.0\.1|\[::1\]/.test(url))).toEqual([]);
  const near = { host: "127.0.0.1", port: 0, isSecure: false, advertise: [] };
  expect(doorUrls(near, 9000)).toEqual(["http://127.0.0.1:9000"]);
});
