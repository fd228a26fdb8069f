import { expect, test } from "bun:test";

import type { WorkerId } from "../../shared/ids.ts";
import { PeerAddresses } from "../../worker/peer_addresses.ts";

const PEER = "peer" as WorkerId;
const URLS = ["https://10.0.0.1:1", "https://10.0.0.2:1", "https://10.0.0.3:1"];

test("PeerAddresses.sort() puts the address that worked last in front", () => {
  const addresses = new PeerAddresses();
  expect(addresses.sort(PEER, URLS)).toEqual(URLS);
  addresses.remember(PEER, URLS[2]!);
  expect(addresses.sort(PEER, URLS)).toEqual([URLS[2]!, URLS[0]!, URLS[1]!]);
  addresses.remember(PEER, URLS[1]!);
  expect(addresses.sort(PEER, URLS)).toEqual([URLS[1]!, URLS[0]!, URLS[2]!]);
  expect(addresses.sort("other" as WorkerId, URLS)).toEqual(URLS);
});

test("PeerAddresses.sort() adds no address that the peer has no more", () => {
  const addresses = new PeerAddresses();
  addresses.remember(PEER, "https://10.0.0.9:1");
  expect(addresses.sort(PEER, URLS)).toEqual(URLS);
});

test("PeerAddresses.remember() forgets the peer met longest ago when there are many", () => {
  const addresses = new PeerAddresses();
  const name = (index: number) => `peer ${index}` as WorkerId;
  for (let index = 0; index < 1024; index++) addresses.remember(name(index), URLS[1]!);
  addresses.remember(name(0), URLS[2]!);
  addresses.remember(name(1024), URLS[1]!);
  expect(addresses.sort(name(0), URLS)[0]).toBe(URLS[2]!);
  expect(addresses.sort(name(1), URLS)).toEqual(URLS);
  expect(addresses.sort(name(2), URLS)[0]).toBe(URLS[1]!);
});
