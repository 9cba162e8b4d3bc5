// The facilitator of npm @x402/core and @x402/evm, on the nodes that `setup.mjs` made.
import { x402Facilitator } from "@x402/core/facilitator";
import { HTTPFacilitatorClient } from "@x402/core/server";
import { toFacilitatorEvmSigner } from "@x402/evm";
import { ExactEvmScheme } from "@x402/evm/exact/facilitator";
import { ExactEvmSchemeV1 } from "@x402/evm/exact/v1/facilitator";
import { privateKeyToAccount } from "viem/accounts";

import { connect } from "./chain.mjs";

const V1_NAMES = { 8453: "base", 84532: "base-sepolia" };

export function openFacilitator({ chains, hotWallet }) {
  const account = privateKeyToAccount(hotWallet.key);
  const facilitator = new x402Facilitator();
  facilitator.registerExtension({ key: "eip2612GasSponsoring" });
  const clients = {};
  for (const [id, { rpc }] of Object.entries(chains)) {
    clients[id] = connect(id, rpc, account);
    const signer = toFacilitatorEvmSigner({ ...clients[id], address: account.address });
    facilitator.register(`eip155:${id}`, new ExactEvmScheme(signer));
    if (V1_NAMES[id]) {
      facilitator.registerV1(V1_NAMES[id], new ExactEvmSchemeV1(signer));
    }
  }
  return { facilitator, clients };
}

// Somebody else's facilitator over HTTP, through the published client of such services.
export function connectFacilitator(url, token) {
  const headers = { Authorization: `Bearer ${token}` };
  const createAuthHeaders = async () => ({ verify: headers, settle: headers, supported: headers });
  return new HTTPFacilitatorClient({ url, createAuthHeaders });
}
