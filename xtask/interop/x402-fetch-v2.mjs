// Buys with npm @x402/fetch, which speaks x402 version 2. See README.md for what comes in and goes out.
import { ExactEvmScheme } from "@x402/evm";
import { decodePaymentResponseHeader, wrapFetchWithPaymentFromConfig } from "@x402/fetch";
import { privateKeyToAccount } from "viem/accounts";

const { INTEROP_URL, INTEROP_KEY, INTEROP_CHAIN, INTEROP_RPC, INTEROP_MAX_USD, INTEROP_BODY } =
  process.env;

const account = privateKeyToAccount(INTEROP_KEY);
// Only a permit makes it read the chain.
const scheme = new ExactEvmScheme(account, INTEROP_RPC ? { rpcUrl: INTEROP_RPC } : undefined);
const pay = wrapFetchWithPaymentFromConfig(fetch, {
  schemes: [{ network: INTEROP_CHAIN, client: scheme }],
  spendControls: { maxAmountPerPayment: `$${INTEROP_MAX_USD}` },
});
const response = await pay(`${INTEROP_URL}/compute/provision`, {
  method: "POST",
  headers: { "content-type": "application/json" },
  body: INTEROP_BODY,
});
const receipt = response.headers.get("payment-response");
console.log(
  JSON.stringify({
    payer: account.address,
    status: response.status,
    receipt: receipt && decodePaymentResponseHeader(receipt),
    answer: await response.json(),
  }),
);
