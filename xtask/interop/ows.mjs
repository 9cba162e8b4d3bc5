// Makes API keys and buys with `ows`, the program of npm @open-wallet-standard/core. The wallets live in $HOME.
// See README.md for what comes in and goes out.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";

import { authHeaders } from "./auth.mjs";

const { INTEROP_URL, INTEROP_BODY } = process.env;

const ows = (...words) => execFileSync("node_modules/.bin/ows", words, { encoding: "utf8" });

function createWallet(name, account) {
  const said = ows("wallet", "create", "--name", name);
  const address = said.match(new RegExp(`${account}:\\S+ → (\\S+)`))?.[1];
  assert(address, `no ${account} address in:\n${said}`);
  return address;
}

function signMessage(wallet, chain, message) {
  const said = ows("sign", "message", "--wallet", wallet, "--chain", chain, "--message", message, "--json");
  return JSON.parse(said).signature;
}

async function ask(wallet, method, path, body) {
  const headers = await authHeaders(wallet, method, path, body);
  const response = await fetch(INTEROP_URL + path, {
    method,
    headers: { "content-type": "application/json", ...headers },
    body,
  });
  return { status: response.status, answer: await response.json() };
}

// Creates a key and finds it in the list, each with a signature of its own.
async function createKey(wallet) {
  const label = `interop-${wallet.chain}`;
  const created = await ask(wallet, "POST", "/compute/api-keys", JSON.stringify({ label }));
  assert.equal(created.status, 201, JSON.stringify(created));
  assert.match(created.answer.api_key, /^x402c_[A-Za-z0-9_-]+$/);
  const listed = await ask(wallet, "GET", "/compute/api-keys");
  assert.equal(listed.status, 200, JSON.stringify(listed));
  const rows = listed.answer.api_keys.map(({ id, label, key_last4 }) => ({ id, label, key_last4 }));
  assert.deepEqual(rows, [
    { id: created.answer.id, label, key_last4: created.answer.api_key.slice(-4) },
  ]);
  return created.answer.api_key;
}

const payer = createWallet("evm", "eip155");
const evm = {
  chain: "base",
  address: payer.toLowerCase(),
  encoding: "hex",
  sign: (message) => `0x${signMessage("evm", "eip155:8453", message)}`,
};
const solana = {
  chain: "solana",
  address: createWallet("solana", "solana"),
  encoding: "base64",
  sign: (message) =>
    Buffer.from(signMessage("solana", "solana", message), "hex").toString("base64"),
};
await createKey(solana);
const apiKey = await createKey(evm);

const url = `${INTEROP_URL}/compute/provision`;
const order = ["--method", "POST", "--body", INTEROP_BODY, url];
const answer = JSON.parse(ows("pay", "request", "--wallet", "evm", "--no-passphrase", ...order));
console.log(JSON.stringify({ payer, api_key: apiKey, answer }));
