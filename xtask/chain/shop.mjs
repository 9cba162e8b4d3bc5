// A shop without any code of this project: published software settles what it sells. It is also an HTTP facilitator.
// See README.md for what comes in and goes out.
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { text } from "node:stream/consumers";

import { parseSignature } from "viem";

import { TOKENS, TOKEN_ABI, send } from "./chain.mjs";
import { connectFacilitator, openFacilitator } from "./facilitator.mjs";

const setup = JSON.parse(readFileSync(process.env.CHAIN_SETUP, "utf8"));
const { FACILITATOR_URL: remote, FACILITATOR_TOKEN: token } = process.env;
const own = openFacilitator(setup);
const { clients } = own;
const facilitator = remote ? connectFacilitator(remote, token) : own.facilitator;
const { chains, hotWallet, treasury } = setup;

const PLAN = { id: "vc2-1c-1gb", our_hourly: 0.007441 };
const MICROS_AN_HOUR = 7441n;
const NAMES = { 8453: "base", 84532: "base-sepolia", 4326: "megaeth" };

const encode = (value) => Buffer.from(JSON.stringify(value)).toString("base64");
const decode = (header) => JSON.parse(Buffer.from(header, "base64").toString("utf8"));
const idOf = (network) => Object.keys(NAMES).find((id) => [NAMES[id], `eip155:${id}`].includes(network));

// One offer for everybody: on MegaETH @x402/fetch reads `assetTransferMethod`, thirdweb reads `primaryType`.
function offer(id, hours) {
  const { address: asset, name, version, decimals, kind } = TOKENS[id];
  const isUsdm = kind === "usdm";
  const amount = MICROS_AN_HOUR * BigInt(hours) * 10n ** BigInt(decimals - 6);
  // Somebody else's facilitator fetches no money for us: its wallet is not ours.
  const direct = { primaryType: "Permit", spender: hotWallet.address };
  const methods = { assetTransferMethod: "permit2", ...(!remote && direct) };
  return {
    scheme: "exact",
    network: `eip155:${id}`,
    amount: amount.toString(),
    asset,
    payTo: isUsdm && !remote ? hotWallet.address : treasury,
    maxTimeoutSeconds: 300,
    extra: { name, version, ...(isUsdm && methods) },
  };
}

function offerV1(id, hours, resource) {
  const { amount, ...rest } = offer(id, hours);
  return {
    ...rest,
    network: NAMES[id],
    maxAmountRequired: amount,
    resource: resource.url,
    description: resource.description,
    mimeType: resource.mimeType,
  };
}

function demand(body, resource) {
  const wanted = idOf(body.network);
  const ids = [wanted, ...Object.keys(chains).filter((id) => id !== wanted)];
  const sponsoring = { info: { description: "The server submits the permit.", version: "1" }, schema: {} };
  const error = "payment_required";
  const required = {
    x402Version: 2,
    error,
    resource,
    accepts: ids.map((id) => offer(id, body.prepaid_hours)),
    extensions: { eip2612GasSponsoring: sponsoring },
  };
  const accepts = [offerV1(wanted, body.prepaid_hours, resource)];
  return [402, { x402Version: 1, error, accepts }, { "payment-required": encode(required) }];
}

// The server's half of a direct permit, which no published facilitator has: approve, then fetch the money.
async function settlePermit(id, { authorization, signature }, { amount }) {
  const { from, to, value, validBefore } = authorization;
  if (to !== hotWallet.address || value !== amount) {
    throw new Error(`another permit was asked for than ${JSON.stringify(authorization)}`);
  }
  const { r, s, v } = parseSignature(signature);
  const token = { address: TOKENS[id].address, abi: TOKEN_ABI };
  const permit = [from, to, BigInt(value), BigInt(validBefore), Number(v), r, s];
  await send(clients[id], { ...token, functionName: "permit", args: permit });
  const args = [from, treasury, BigInt(value)];
  const { transactionHash } = await send(clients[id], { ...token, functionName: "transferFrom", args });
  return { success: true, transaction: transactionHash, network: `eip155:${id}`, payer: from };
}

async function settle(id, payment, hours, resource) {
  const isUsdm = TOKENS[id].kind === "usdm";
  const asked = payment.x402Version === 1 ? offerV1(id, hours, resource) : offer(id, hours);
  if (isUsdm && payment.payload.authorization) {
    return settlePermit(id, payment.payload, asked);
  }
  const verified = await facilitator.verify(payment, asked);
  if (!verified.isValid) {
    throw new Error(`the facilitator refuses: ${JSON.stringify(verified)}`);
  }
  const settled = await facilitator.settle(payment, asked);
  if (!settled.success) {
    throw new Error(`the facilitator failed: ${JSON.stringify(settled)}`);
  }
  if (isUsdm && !remote) {
    const args = [treasury, BigInt(asked.amount)];
    const token = { address: TOKENS[id].address, abi: TOKEN_ABI };
    await send(clients[id], { ...token, functionName: "transfer", args });
  }
  return settled;
}

async function provision(request, body) {
  const url = `http://${request.headers.host}${request.url}`;
  const resource = { url, description: "A machine", mimeType: "application/json" };
  const header = request.headers["payment-signature"] ?? request.headers["x-payment"];
  if (!header) {
    return demand(body, resource);
  }
  const payment = decode(header);
  console.log(JSON.stringify({ paid: { headers: Object.keys(request.headers), payment } }));
  const id = idOf(payment.accepted?.network ?? payment.network);
  const settled = await settle(id, payment, body.prepaid_hours, resource);
  const order = { id: randomUUID(), ...body, status: "active" };
  const answer = { success: true, order, tx_hash: settled.transaction };
  const headers = {
    "payment-response": encode({ ...settled, network: `eip155:${id}` }),
    "x-payment-response": encode({ ...settled, network: NAMES[id] }),
  };
  return [200, answer, headers];
}

async function answer(request, body) {
  const { paymentPayload, paymentRequirements } = body ?? {};
  switch (`${request.method} ${request.url}`) {
    case "GET /compute/plans":
      return [200, { plans: [PLAN] }];
    case "POST /compute/provision":
      return provision(request, body);
    case "GET /facilitator/supported":
      return [200, facilitator.getSupported()];
    case "POST /facilitator/verify":
      return [200, await facilitator.verify(paymentPayload, paymentRequirements)];
    case "POST /facilitator/settle":
      return [200, await facilitator.settle(paymentPayload, paymentRequirements)];
    default:
      return [404, { error: "not_found" }];
  }
}

const server = createServer(async (request, response) => {
  const said = await text(request);
  const [status, body, headers] = await answer(request, said ? JSON.parse(said) : undefined).catch(
    (error) => [500, { error: String(error.message ?? error) }],
  );
  const content = Buffer.from(JSON.stringify(body));
  response
    .writeHead(status, { "content-type": "application/json", "content-length": content.length, ...headers })
    .end(content);
});
server.listen(0, "127.0.0.1", () => console.log(`listening on http://127.0.0.1:${server.address().port}`));
