// Makes a fresh node of anvil into the Tempo that published clients pay on. See README.md for what comes in and goes out.
import assert from "node:assert/strict";
import { gunzipSync } from "node:zlib";

import { pad } from "viem";
import { generatePrivateKey, mnemonicToAccount, privateKeyToAccount } from "viem/accounts";
import { Actions, Addresses } from "viem/tempo";

import { USDC_E, connect } from "./tempo.mjs";

const { TEMPO_RPC, TEMPO_BUYERS } = process.env;
// A dollar that the node is born with.
const ALPHA_USD = "0x20c0000000000000000000000000000000000001";
const PURSE = 1_000_000_000n;
// More than the node's own estimate, which forgets what new storage costs.
const GAS = 3_000_000n;

// To whom the node gives money at its birth.
const bank = mnemonicToAccount("test test test test test test test test test test test junk");
const client = connect(TEMPO_RPC, bank);
const freshWallet = () => {
  const key = generatePrivateKey();
  return { address: privateKeyToAccount(key).address, key };
};

async function done(sent) {
  const { receipt } = await sent;
  assert.equal(receipt.status, "success", `${receipt.transactionHash} was undone`);
  return receipt;
}

// A token is a program inside the node; at its address are a mark that it exists, and its state.
async function cloneToken(from, to) {
  const dump = await client.request({ method: "anvil_dumpState", params: [] });
  const { accounts } = JSON.parse(gunzipSync(Buffer.from(dump.slice(2), "hex")));
  const { code, storage } = accounts[from];
  await client.setCode({ address: to, bytecode: code });
  for (const [index, value] of Object.entries(storage)) {
    await client.setStorageAt({ address: to, index, value: pad(value) });
  }
}

// Fees are taken in the payer's token and handed to the block's author in another: somebody must change it.
const addLiquidity = () =>
  done(
    Actions.amm.mintSync(client, {
      userTokenAddress: USDC_E,
      validatorTokenAddress: Addresses.pathUsd,
      validatorTokenAmount: 1000n * PURSE,
      to: bank.address,
      feeToken: ALPHA_USD,
      gas: GAS,
    }),
  );

// Fees of a payment in USDC.e are paid in USDC.e; but before it takes one, the node looks for pathUSD and native coins.
async function give(address) {
  for (const token of [USDC_E, Addresses.pathUsd]) {
    const terms = { token, to: address, amount: PURSE, feeToken: ALPHA_USD, gas: GAS };
    await done(Actions.token.transferSync(client, terms));
  }
  await client.setBalance({ address, value: 10n ** 24n });
}

// Two equal payments in the manner of published clients, which differ in their validity only.
async function prove(key, till) {
  const payer = connect(TEMPO_RPC, privateKeyToAccount(key));
  for (const nth of [1n, 2n]) {
    const receipt = await done(
      Actions.token.transferSync(payer, {
        token: USDC_E,
        to: till,
        amount: 1n,
        memo: pad("0x01"),
        nonceKey: "expiring",
        validBefore: Math.floor(Date.now() / 1000) + 25,
      }),
    );
    assert.equal(receipt.type, "0x76");
    const { amount } = await Actions.token.getBalance(client, { token: USDC_E, account: till });
    assert.equal(amount, nth);
  }
}

await cloneToken(ALPHA_USD, USDC_E);
await addLiquidity();
const [trial, till, treasury] = [freshWallet(), freshWallet(), freshWallet()];
const buyers = Object.fromEntries(JSON.parse(TEMPO_BUYERS).map((name) => [name, freshWallet()]));
for (const { address } of [trial, ...Object.values(buyers)]) {
  await give(address);
}
await prove(trial.key, till.address);
console.log(JSON.stringify({ token: USDC_E, treasury: treasury.address, buyers }));
