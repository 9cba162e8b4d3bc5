// Buys with npm thirdweb, which signs an ERC-2612 permit. See README.md for what comes in and goes out.
import { createThirdwebClient, defineChain } from "thirdweb";
import { createWalletAdapter, privateKeyToAccount } from "thirdweb/wallets";
import { wrapFetchWithPayment } from "thirdweb/x402";

const { INTEROP_URL, INTEROP_KEY, INTEROP_CHAIN, INTEROP_RPC, INTEROP_BODY } = process.env;

const client = createThirdwebClient({ clientId: "interop" });
const chain = defineChain({ id: Number(INTEROP_CHAIN.split(":")[1]), rpc: INTEROP_RPC });
const account = privateKeyToAccount({ client, privateKey: INTEROP_KEY });
const wallet = createWalletAdapter({
  client,
  chain,
  adaptedAccount: account,
  onDisconnect: () => {},
  switchChain: () => {},
});
const pay = wrapFetchWithPayment(fetch, client, wallet);
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
    receipt: receipt && JSON.parse(Buffer.from(receipt, "base64").toString("utf8")),
    answer: await response.json(),
  }),
);
