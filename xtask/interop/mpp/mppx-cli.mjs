// Buys with the command of npm mppx. See README.md for what comes in and goes out.
import { execFileSync } from "node:child_process";

import { Receipt } from "mppx";
import { privateKeyToAccount } from "viem/accounts";

const { INTEROP_URL, INTEROP_PATH, INTEROP_KEY, INTEROP_RPC, INTEROP_BODY, INTEROP_API_KEY } = process.env;

const words = ["-X", "POST", "-J", INTEROP_BODY, "--include"];
if (INTEROP_API_KEY) words.push("-H", `X-API-Key: ${INTEROP_API_KEY}`);
const said = execFileSync("node_modules/.bin/mppx", [`${INTEROP_URL}${INTEROP_PATH}`, ...words], {
  encoding: "utf8",
  stdio: ["ignore", "pipe", "inherit"],
  // It looks for news of itself unless it is told not to.
  env: { ...process.env, MPPX_PRIVATE_KEY: INTEROP_KEY, MPPX_RPC_URL: INTEROP_RPC, NO_UPDATE_NOTIFIER: "1" },
});
// The head of the offer, the head of the answer, and the body.
const parts = said.split("\n\n");
const head = parts.at(-2) ?? "";
const receipt = /^payment-receipt: (.*)$/m.exec(head)?.[1];
console.log(
  JSON.stringify({
    payer: privateKeyToAccount(INTEROP_KEY).address,
    status: Number(/^HTTP\/1\.1 (\d{3})/.exec(head)?.[1]),
    receipt: receipt && Receipt.deserialize(receipt),
    answer: JSON.parse(parts.at(-1)),
  }),
);
