// What the programs here know of Tempo.
import assert from "node:assert/strict";

import { createTestClient, http, publicActions, walletActions } from "viem";
import { tempo } from "viem/tempo/chains";

export const USDC_E = "0x20C000000000000000000000b9537d11c60E8b50";

// A client of a local node, which says that it is the main network.
export function connect(rpc, account) {
  // Without a node viem would ask the real network.
  assert.match(rpc ?? "", /^http:\/\/127\.0\.0\.1:\d+$/);
  const options = { mode: "anvil", account, chain: tempo, transport: http(rpc), pollingInterval: 50 };
  return createTestClient(options).extend(publicActions).extend(walletActions);
}
