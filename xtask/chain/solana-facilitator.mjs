// The facilitator of npm @x402/core and @x402/svm over HTTP. See README.md for what comes in and goes out.
import { createServer } from "node:http";
import { text } from "node:stream/consumers";

import { createKeyPairSignerFromBytes, getBase58Encoder } from "@solana/kit";
import { x402Facilitator } from "@x402/core/facilitator";
import { toFacilitatorSvmSigner } from "@x402/svm";
import { ExactSvmScheme } from "@x402/svm/exact/facilitator";
import { ExactSvmSchemeV1 } from "@x402/svm/exact/v1/facilitator";

const { SOLANA_KEY, SOLANA_CHAIN, SOLANA_RPC } = process.env;

const account = await createKeyPairSignerFromBytes(getBase58Encoder().encode(SOLANA_KEY));
const signer = toFacilitatorSvmSigner(account, { defaultRpcUrl: SOLANA_RPC });
const facilitator = new x402Facilitator();
facilitator.register(SOLANA_CHAIN, new ExactSvmScheme(signer));
facilitator.registerV1("solana", new ExactSvmSchemeV1(signer));

async function answer(request, body) {
  const { paymentPayload, paymentRequirements } = body ?? {};
  switch (`${request.method} ${request.url}`) {
    case "GET /supported":
      return facilitator.getSupported();
    case "POST /verify":
      return facilitator.verify(paymentPayload, paymentRequirements);
    case "POST /settle":
      return facilitator.settle(paymentPayload, paymentRequirements);
    default:
      throw new Error(`there is no ${request.url}`);
  }
}

const server = createServer(async (request, response) => {
  const said = await text(request);
  const reply = await answer(request, said ? JSON.parse(said) : undefined).then(
    (body) => [200, body],
    (error) => [500, { error: String(error.message ?? error) }],
  );
  console.log(JSON.stringify({ asked: request.url, status: reply[0], said: reply[1] }));
  response.writeHead(reply[0], { "content-type": "application/json" }).end(JSON.stringify(reply[1]));
});
server.listen(0, "127.0.0.1", () => console.log(`listening on http://127.0.0.1:${server.address().port}`));
