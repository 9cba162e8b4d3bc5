// What the programs here know of the chains: addresses, tokens, and how to talk to a node.
import { createTestClient, defineChain, http, publicActions, walletActions } from "viem";

export const PERMIT2 = "0x000000000022D473030F116dDEE9F6B43aC78BA3";
export const PROXY = "0x402085c248EeA27D92E8b30b2C58ed07f9E20001";

// The separators come from the signatures of wallets that know the real tokens.
export const TOKENS = {
  8453: {
    kind: "usdc",
    address: "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913",
    name: "USD Coin",
    version: "2",
    decimals: 6,
    separator: "0x02fa7265e7c5d81118673727957699e4d68f74cd74b7db77da710fe8a2c7834f",
  },
  84532: {
    kind: "usdc",
    address: "0x036CbD53842c5426634e7929541eC2318f3dCF7e",
    name: "USDC",
    version: "2",
    decimals: 6,
    separator: "0x71f17a3b2ff373b803d70a5a07c046c1a2bc8e89c09ef722fcb047abe94c9818",
  },
  4326: {
    kind: "usdm",
    address: "0xFAfDdbb3FC7688494971a79cc65DCa3EF82079E7",
    name: "MegaUSD",
    version: "1",
    decimals: 18,
    separator: "0x26e1aa8b35bf8653b60726926f670a6ec590674f00b149826914c480d0e798bd",
  },
};

const uint = (name) => ({ name, type: "uint256" });
const address = (name) => ({ name, type: "address" });
const view = (name, inputs, type) => ({
  type: "function",
  stateMutability: "view",
  name,
  inputs,
  outputs: [{ type }],
});
const action = (name, inputs) => ({
  type: "function",
  stateMutability: "nonpayable",
  name,
  inputs,
  outputs: [],
});

export const TOKEN_ABI = [
  view("balanceOf", [address("owner")], "uint256"),
  view("allowance", [address("owner"), address("spender")], "uint256"),
  view("nonces", [address("owner")], "uint256"),
  view("DOMAIN_SEPARATOR", [], "bytes32"),
  view("decimals", [], "uint8"),
  view("name", [], "string"),
  view("version", [], "string"),
  action("mint", [address("to"), uint("value")]),
  action("transfer", [address("to"), uint("value")]),
  action("transferFrom", [address("from"), address("to"), uint("value")]),
  action("permit", [
    address("owner"),
    address("spender"),
    uint("value"),
    uint("deadline"),
    { name: "v", type: "uint8" },
    { name: "r", type: "bytes32" },
    { name: "s", type: "bytes32" },
  ]),
  // The overload that hands a wallet's signature on to it.
  action("transferWithAuthorization", [
    address("from"),
    address("to"),
    uint("value"),
    uint("validAfter"),
    uint("validBefore"),
    { name: "nonce", type: "bytes32" },
    { name: "signature", type: "bytes" },
  ]),
];

// A client of a node of anvil. `account` signs here, or is one that the node keeps.
export function connect(id, rpc, account) {
  const chain = defineChain({
    id: Number(id),
    name: `local ${id}`,
    nativeCurrency: { name: "Ether", symbol: "ETH", decimals: 18 },
    rpcUrls: { default: { http: [rpc] } },
  });
  const options = { mode: "anvil", account, chain, transport: http(rpc), pollingInterval: 50 };
  return createTestClient(options).extend(publicActions).extend(walletActions);
}

// Sends a call and waits until it is done; one that is undone throws.
export async function send(client, request) {
  const hash = await client.writeContract(request);
  const receipt = await client.waitForTransactionReceipt({ hash });
  if (receipt.status !== "success") {
    throw new Error(`${request.functionName} was undone: ${hash}`);
  }
  return receipt;
}
