// A shop of published software alone: npm mppx, which settles on the chain. See README.md.
import { createServer } from "node:http";
import { text } from "node:stream/consumers";

import { Mppx, tempo } from "mppx/server";

import { USDC_E, connect } from "./tempo.mjs";

const { TEMPO_RPC, TEMPO_TREASURY, SHOP_PRICE } = process.env;
// PyPI pympp lets a payment live until the offer ends, but 60 s at most, and the chain takes no more than 30 s.
const LIFETIME = 25_000;

const client = connect(TEMPO_RPC);
const mppx = Mppx.create({
  realm: "127.0.0.1",
  secretKey: "a secret for tests, 32 bytes long",
  methods: [
    tempo.charge({
      chainId: 4217,
      currency: USDC_E,
      recipient: TEMPO_TREASURY,
      supportedModes: ["pull"],
      getClient: () => client,
    }),
  ],
});

async function serve(incoming, outgoing) {
  const body = await text(incoming);
  const url = new URL(incoming.url, "http://127.0.0.1");
  const init = { method: incoming.method, headers: incoming.headers, body };
  const expires = new Date(Date.now() + LIFETIME).toISOString();
  const charge = mppx.charge({ amount: SHOP_PRICE, expires });
  const result = await charge(new Request(url, init));
  const answer =
    result.status === 402
      ? result.challenge
      : result.withReceipt(Response.json({ success: true, order: JSON.parse(body) }));
  outgoing.writeHead(answer.status, [...answer.headers].flat());
  outgoing.end(await answer.text());
}

const server = createServer((incoming, outgoing) =>
  serve(incoming, outgoing).catch((error) => {
    console.error(error);
    outgoing.writeHead(500).end();
  }),
);
server.listen(0, "127.0.0.1", () => console.log(`http://127.0.0.1:${server.address().port}`));
