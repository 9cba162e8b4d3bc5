// The headers by which a wallet proves who it is: `X402-COMPUTE-AUTH`, version 1.
import { createHash, randomBytes } from "node:crypto";

// `sign` turns the message into a signature in the encoding that `encoding` names.
export async function authHeaders({ chain, address, encoding, sign }, method, path, body = "") {
  const hash = createHash("sha256").update(body).digest("hex");
  const timestamp = Date.now().toString();
  const nonce = randomBytes(16).toString("hex");
  const lines = ["X402-COMPUTE-AUTH", "v1", chain, address, method, path, hash, timestamp, nonce];
  return {
    "x-auth-address": address,
    "x-auth-chain": chain,
    "x-auth-signature": await sign(lines.join("\n")),
    "x-auth-timestamp": timestamp,
    "x-auth-nonce": nonce,
    "x-auth-sig-encoding": encoding,
  };
}
