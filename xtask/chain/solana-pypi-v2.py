"""Buys on Solana with PyPI x402 2. See README.md for what comes in and goes out."""

import asyncio
import json
from os import environ

from solders.keypair import Keypair
from x402 import SchemeRegistration, x402ClientConfig
from x402.http import decode_payment_response_header
from x402.http.clients import wrapHttpxWithPaymentFromConfig
from x402.mechanisms.svm import KeypairSigner
from x402.mechanisms.svm.exact import ExactSvmScheme


async def buy():
    keypair = Keypair.from_base58_string(environ["INTEROP_KEY"])
    scheme = ExactSvmScheme(KeypairSigner(keypair), rpc_url=environ["INTEROP_RPC"])
    config = x402ClientConfig(
        schemes=[SchemeRegistration(network=environ["INTEROP_CHAIN"], client=scheme)],
        spend_controls={"max_amount_per_payment": "$" + environ["INTEROP_MAX_USD"]},
    )
    async with wrapHttpxWithPaymentFromConfig(config, timeout=120) as client:
        response = await client.post(
            environ["INTEROP_URL"] + "/compute/provision",
            content=environ["INTEROP_BODY"],
            headers={"content-type": "application/json"},
        )
    receipt = response.headers.get("payment-response")
    if receipt:
        receipt = decode_payment_response_header(receipt).model_dump(mode="json")
    return {
        "payer": str(keypair.pubkey()),
        "status": response.status_code,
        "receipt": receipt,
        "answer": response.json(),
    }


print(json.dumps(asyncio.run(buy())))
