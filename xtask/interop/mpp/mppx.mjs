// Buys with npm mppx as a library. See README.md for what comes in and goes out.
import { Receipt } from "mppx";
import { Mppx, tempo } from "mppx/client";
import { privateKeyToAccount } from "viem/accounts";

import { connect } from "./tempo.mjs";

const { INTEROP_URL, INTEROP_PATH, INTEROP_KEY, INTEROP_RPC, INTEROP_BODY, INTEROP_API_KEY } = process.env;

const account = privateKeyToAccount(INTEROP_KEY);
const client = connect(INTEROP_RPC);
const mppx = Mppx.create({
  methods: [tempo.charge({ account, getClient: () => client })],
  polyfill: false,
});
const response = await mppx.fetch(`${INTEROP_URL}${INTEROP_PATH}`, {
  method: "POST",
  headers: {
    "content-type": "application/json",
    ...(INTEROP_API_KEY && { "x-api-key": INTEROP_API_KEY }),
  },
  body: INTEROP_BODY,
});
const receipt = response.headers.get("payment-receipt");
console.log(
  JSON.stringify({
    payer: account.address,
    status: response.status,
    receipt: receipt && Receipt.deserialize(receipt),
    answer: await response.json(),
  }),
);
