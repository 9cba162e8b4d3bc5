// npm mppx at the disposal of a test: questions as JSON lines in, answers as JSON lines out. See README.md.
import { createInterface } from "node:readline";

import { BodyDigest, Challenge, Credential, Receipt } from "mppx";
import { Mppx, tempo } from "mppx/client";
import { createClient, custom } from "viem";
import { privateKeyToAccount } from "viem/accounts";
import { tempo as chain } from "viem/tempo/chains";

// The package keeps it to itself.
import * as Attribution from "./node_modules/mppx/dist/tempo/Attribution.js";

// A node that knows the prices and nothing else.
async function request({ method, params }) {
  switch (method) {
    case "eth_chainId":
      return "0x1079";
    case "eth_fillTransaction": {
      const prices = { gas: "0xf4240", maxFeePerGas: "0x5d21dba00", maxPriorityFeePerGas: "0x3b9aca00" };
      const defaults = { chainId: "0x1079", accessList: [], signature: null, feePayerSignature: null };
      return { raw: "0x", tx: { ...defaults, ...params[0], ...prices } };
    }
    default:
      throw new Error(`${method} was not expected`);
  }
}

const client = createClient({ chain, transport: custom({ request }, { retryCount: 0 }) });

// An offer as its parameters: `request` as an object, `opaque` as the text that it is on the wire.
const shown = ({ meta, ...challenge }) => challenge;

const answers = {
  parse: ({ line }) => shown(Challenge.deserialize(line)),
  parseList: ({ line }) => Challenge.deserializeList(line).map(shown),
  verify: ({ line, secret }) => Challenge.verify(Challenge.deserialize(line), { secretKey: secret }),
  create: ({ terms, secret }) => Challenge.serialize(Challenge.from({ ...terms, secretKey: secret })),
  readCredential({ header, secret }) {
    const { challenge, payload, source } = Credential.deserialize(header);
    const verified = Challenge.verify(challenge, { secretKey: secret });
    return { challenge: verified ? shown(challenge) : null, payload, source: source ?? null, verified };
  },
  async pay({ line, key }) {
    const methods = [tempo.charge({ account: privateKeyToAccount(key), getClient: () => client })];
    const mppx = Mppx.create({ methods, polyfill: false });
    return mppx.createCredential(new Response(null, { status: 402, headers: { "www-authenticate": line } }));
  },
  readReceipt({ header }) {
    const receipt = Receipt.deserialize(header);
    return { ...receipt, timestamp: Date.parse(receipt.timestamp) / 1000 };
  },
  writeReceipt: ({ receipt }) => Receipt.serialize(Receipt.from(receipt)),
  memo: ({ realm, challenge, client: id }) =>
    Attribution.encode({ challengeId: challenge, serverId: realm, clientId: id }),
  digest: ({ body }) => BodyDigest.compute(body),
};

for await (const line of createInterface({ input: process.stdin })) {
  const question = JSON.parse(line);
  let answer;
  try {
    answer = { ok: await answers[question.ask](question) };
  } catch (error) {
    answer = { error: `${error.name}: ${error.message}` };
  }
  console.log(JSON.stringify(answer));
}
