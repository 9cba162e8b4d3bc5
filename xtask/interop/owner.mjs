// What the owner of a key sees: the price of a plan and his machines. See README.md for what comes in and goes out.
import { privateKeyToAccount } from "viem/accounts";

import { authHeaders } from "./auth.mjs";

const { INTEROP_URL, INTEROP_KEY, INTEROP_API_KEY, INTEROP_BODY } = process.env;

async function read(path, headers) {
  const response = await fetch(INTEROP_URL + path, { headers });
  const text = await response.text();
  if (response.status !== 200) {
    throw new Error(`GET ${path} was answered ${response.status}: ${text}`);
  }
  return JSON.parse(text);
}

function walletHeaders(path) {
  const account = privateKeyToAccount(INTEROP_KEY);
  const wallet = {
    chain: "base",
    address: account.address.toLowerCase(),
    encoding: "hex",
    sign: (message) => account.signMessage({ message }),
  };
  return authHeaders(wallet, "GET", path);
}

const { plan } = JSON.parse(INTEROP_BODY);
const { plans } = await read("/compute/plans");
const path = "/compute/instances";
const headers = INTEROP_API_KEY ? { "x-api-key": INTEROP_API_KEY } : await walletHeaders(path);
const { instances } = await read(path, headers);
console.log(
  JSON.stringify({ our_hourly: plans.find(({ id }) => id === plan)?.our_hourly, instances }),
);
