// Buys on Solana with npm @x402/fetch and @x402/svm. See README.md for what comes in and goes out.
import { createKeyPairSignerFromBytes, getBase58Encoder } from "@solana/kit";
import { decodePaymentResponseHeader, wrapFetchWithPaymentFromConfig } from "@x402/fetch";
import { ExactSvmScheme } from "@x402/svm";

const { INTEROP_URL, INTEROP_KEY, INTEROP_CHAIN, INTEROP_RPC, INTEROP_MAX_USD, INTEROP_BODY } =
  process.env;

const signer = await createKeyPairSignerFromBytes(getBase58Encoder().encode(INTEROP_KEY));
const pay = wrapFetchWithPaymentFromConfig(fetch, {
  schemes: [{ network: INTEROP_CHAIN, client: new ExactSvmScheme(signer, { rpcUrl: INTEROP_RPC }) }],
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
    payer: signer.address,
    status: response.status,
    receipt: receipt && decodePaymentResponseHeader(receipt),
    answer: await response.json(),
  }),
);
