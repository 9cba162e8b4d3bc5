// Buys on Solana with npm x402-fetch, which speaks x402 version 1. See README.md for what comes in and goes out.
import { createSigner, decodeXPaymentResponse, wrapFetchWithPayment } from "x402-fetch";

const { INTEROP_URL, INTEROP_KEY, INTEROP_NETWORK, INTEROP_RPC, INTEROP_MAX_ATOMIC, INTEROP_BODY } =
  process.env;

const signer = await createSigner(INTEROP_NETWORK, INTEROP_KEY);
const config = { svmConfig: { rpcUrl: INTEROP_RPC } };
const pay = wrapFetchWithPayment(fetch, signer, BigInt(INTEROP_MAX_ATOMIC), undefined, config);
const response = await pay(`${INTEROP_URL}/compute/provision`, {
  method: "POST",
  headers: { "content-type": "application/json" },
  body: INTEROP_BODY,
});
const receipt = response.headers.get("x-payment-response");
console.log(
  JSON.stringify({
    payer: signer.address,
    status: response.status,
    receipt: receipt && decodeXPaymentResponse(receipt),
    answer: await response.json(),
  }),
);
