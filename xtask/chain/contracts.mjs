// What every contract here does, asked on the chain itself. See README.md for what comes in and goes out.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";

import { authorizationTypes, permit2WitnessTypes, x402ExactPermit2ProxyABI } from "@x402/evm";
import {
  decodeErrorResult,
  encodeFunctionData,
  hashTypedData,
  parseEventLogs,
  parseSignature,
  toEventSelector,
  toFunctionSelector,
} from "viem";
import { generatePrivateKey, privateKeyToAccount } from "viem/accounts";

import { PERMIT2, PROXY, TOKENS, TOKEN_ABI, connect, send } from "./chain.mjs";

const setup = JSON.parse(readFileSync(process.env.CHAIN_SETUP, "utf8"));
const { chains, hotWallet, proxyAbi } = setup;
// Not the treasury, whose money is counted afterwards.
const recipient = setup.walletOwner.address;
const payer = privateKeyToAccount(setup.buyers.contracts.key);
const sender = privateKeyToAccount(hotWallet.key);
const open = (id) => connect(id, chains[id].rpc, sender);
const later = () => BigInt(Math.floor(Date.now() / 1000) + 300);
const domain = (id) => {
  const { name, version, address: verifyingContract } = TOKENS[id];
  return { name, version, chainId: Number(id), verifyingContract };
};
const tokenOf = (id) => ({ address: TOKENS[id].address, abi: TOKEN_ABI });
const balance = (id, owner) =>
  open(id).readContract({ ...tokenOf(id), functionName: "balanceOf", args: [owner] });
const proxy = { address: PROXY, abi: proxyAbi };

const errors = (...names) => names.map((name) => ({ type: "error", name, inputs: [] }));
const KNOWN_ERRORS = [...x402ExactPermit2ProxyABI, ...errors("InvalidNonce", "InvalidSigner")];

// The name of the error that undoes a call, by the ABI that published clients carry, and of Permit2's errors.
async function undone(id, request) {
  const data = encodeFunctionData(request);
  const error = await open(id).call({ to: request.address, data }).then(
    () => assert.fail(`${request.functionName} was not undone`),
    (thrown) => thrown.walk(({ data }) => typeof (data?.data ?? data) === "string"),
  );
  const raw = error?.data?.data ?? error?.data;
  return decodeErrorResult({ abi: KNOWN_ERRORS, data: raw }).errorName;
}

async function signPermit(id, value, deadline = later()) {
  const client = open(id);
  const counter = { ...tokenOf(id), functionName: "nonces", args: [payer.address] };
  const nonce = await client.readContract(counter);
  const fields = { owner: "address", spender: "address", value: "uint256", nonce: "uint256", deadline: "uint256" };
  const Permit = Object.entries(fields).map(([name, type]) => ({ name, type }));
  const message = { owner: payer.address, spender: PERMIT2, value, nonce, deadline };
  const types = { Permit };
  const signature = await payer.signTypedData({ domain: domain(id), types, primaryType: "Permit", message });
  const { r, s, v } = parseSignature(signature);
  return { value, deadline, r, s, v: Number(v) };
}

async function signTransfer(id, amount, changes = {}) {
  const permitted = { token: TOKENS[id].address, amount };
  const permit = { permitted, nonce: BigInt(generatePrivateKey()), deadline: later() };
  const witness = { to: recipient, validAfter: 0n, ...changes };
  const signature = await payer.signTypedData({
    domain: { name: "Permit2", chainId: Number(id), verifyingContract: PERMIT2 },
    types: permit2WitnessTypes,
    primaryType: "PermitWitnessTransferFrom",
    message: { ...permit, spender: PROXY, witness },
  });
  return [permit, payer.address, witness, signature];
}

const settle = (args) => ({ ...proxy, functionName: "settle", args });
const settleWithPermit = (permit, args) => ({ ...proxy, functionName: "settleWithPermit", args: [permit, ...args] });

function theProxyHasThePublishedInterface() {
  const selectors = (abi, type, of) => abi.filter((it) => it.type === type).map(of);
  for (const [type, of] of [["function", toFunctionSelector], ["error", errorSelector], ["event", toEventSelector]]) {
    const own = selectors(proxyAbi, type, of);
    for (const wanted of selectors(x402ExactPermit2ProxyABI, type, of)) {
      assert(own.includes(wanted), `the proxy lacks the ${type} ${wanted}`);
    }
  }
  const named = (name) => toFunctionSelector(proxyAbi.find((it) => it.name === name));
  assert.equal(named("settle"), "0x13cd3b53");
  assert.equal(named("settleWithPermit"), "0xfa340378");
}
const errorSelector = ({ name, inputs }) => toFunctionSelector({ type: "function", name, inputs, outputs: [] });

async function theProxyRefuses(id) {
  const zero = `0x${"00".repeat(20)}`;
  const good = await signTransfer(id, 5n);
  const [permit, , witness, signature] = good;
  const cases = {
    InvalidAmount: settle(await signTransfer(id, 0n)),
    InvalidOwner: settle([permit, zero, witness, signature]),
    InvalidDestination: settle(await signTransfer(id, 5n, { to: zero })),
    PaymentTooEarly: settle(await signTransfer(id, 5n, { validAfter: later() })),
    Permit2612AmountMismatch: settleWithPermit(await signPermit(id, 6n), good),
    InvalidSigner: settle([permit, payer.address, { ...witness, to: payer.address }, signature]),
  };
  for (const [name, request] of Object.entries(cases)) {
    assert.equal(await undone(id, request), name);
  }
}

// A permit without which the allowance is missing, one with it, and one that came too late for nothing.
async function theProxySettles(id) {
  const client = open(id);
  const before = await balance(id, recipient);
  const first = await signTransfer(id, 7n);
  const permit = await signPermit(id, 7n);
  const forged = { ...permit, value: 7n, r: permit.s, s: permit.r };
  await assert.rejects(client.simulateContract(settleWithPermit(forged, first)));
  await send(client, settleWithPermit(permit, first));
  assert.equal(await balance(id, recipient), before + 7n);
  assert.equal(await undone(id, settle(first)), "InvalidNonce");

  const [second, again] = [await signTransfer(id, 7n), await signPermit(id, 7n)];
  const { value, deadline, v, r, s } = again;
  const args = [payer.address, PERMIT2, value, deadline, v, r, s];
  await send(client, { ...tokenOf(id), functionName: "permit", args });
  const { logs } = await send(client, settleWithPermit(again, second));
  const events = parseEventLogs({ abi: proxyAbi, logs }).map(({ eventName }) => eventName);
  const failed = TOKENS[id].kind === "usdm" ? "WithData" : "WithReason";
  assert.deepEqual(events, [`EIP2612PermitFailed${failed}`, "SettledWithPermit"]);
  assert.equal(await balance(id, recipient), before + 14n);
}

const ERC1271 = [
  {
    type: "function",
    stateMutability: "view",
    name: "isValidSignature",
    inputs: [{ type: "bytes32" }, { type: "bytes" }],
    outputs: [{ type: "bytes4" }],
  },
];

async function walletsAnswer(id) {
  const owner = privateKeyToAccount(setup.walletOwner.key);
  const digest = `0x${"5a".repeat(32)}`;
  const ask = (to, signature) => {
    const data = encodeFunctionData({ abi: ERC1271, functionName: "isValidSignature", args: [digest, signature] });
    return open(id).call({ to, data, gas: 1_000_000n });
  };
  const { honest, refusing, reverting, burning, short } = chains[id].wallets;
  const [good, bad] = await Promise.all([owner.sign({ hash: digest }), payer.sign({ hash: digest })]);
  const word = (start) => start + "0".repeat(56);
  assert.equal((await ask(honest, good)).data, word("0x1626ba7e"));
  assert.equal((await ask(honest, bad)).data, word("0xffffffff"));
  assert.equal((await ask(refusing, good)).data, word("0xffffffff"));
  assert.equal((await ask(short, good)).data, "0x1626ba7e");
  await assert.rejects(ask(reverting, good), /this wallet says nothing/);
  await assert.rejects(ask(burning, good), (error) => !/says nothing/.test(error.message));
}

// USDC asks a wallet with code; a signature counts once.
async function aWalletPaysUsdc(id) {
  const owner = privateKeyToAccount(setup.walletOwner.key);
  const pay = async (from) => {
    const times = { validAfter: 0n, validBefore: later() };
    const message = { from, to: recipient, value: 9n, ...times, nonce: generatePrivateKey() };
    const primaryType = "TransferWithAuthorization";
    const hash = hashTypedData({ domain: domain(id), types: authorizationTypes, primaryType, message });
    const args = [...Object.values(message), await owner.sign({ hash })];
    return { ...tokenOf(id), functionName: "transferWithAuthorization", args };
  };
  const { honest, refusing, reverting, burning } = chains[id].wallets;
  for (const from of [refusing, reverting, burning]) {
    await assert.rejects(open(id).simulateContract({ ...(await pay(from)), gas: 1_000_000n }));
  }
  const before = await balance(id, recipient);
  const payment = await pay(honest);
  await send(open(id), payment);
  assert.equal(await balance(id, recipient), before + 9n);
  await assert.rejects(open(id).simulateContract(payment), /authorization is used or canceled/);
}

const passed = [];
const check = async (name, work) => {
  await work();
  passed.push(name);
};
await check("the proxy has the published functions, errors and events", theProxyHasThePublishedInterface);
for (const id of Object.keys(chains)) {
  await check(`${id}: the proxy refuses with the published errors`, () => theProxyRefuses(id));
  await check(`${id}: the proxy settles, and forgives a permit that was used before`, () => theProxySettles(id));
  await check(`${id}: contract wallets answer in their manner`, () => walletsAnswer(id));
  if (TOKENS[id].kind === "usdc") {
    await check(`${id}: an honest contract wallet pays USDC once`, () => aWalletPaysUsdc(id));
  }
}
console.log(JSON.stringify({ passed }));
