"""Buys with PyPI x402 2, which speaks x402 version 2. See README.md for what comes in and goes out."""

import asyncio
import json
from os import environ

from eth_account import Account
from x402 import SchemeRegistration, x402ClientConfig
from x402.http import decode_payment_response_header
from x402.http.clients import wrapHttpxWithPaymentFromConfig
from x402.mechanisms.evm import EthAccountSigner
from x402.mechanisms.evm.exact import ExactEvmScheme


async def buy():
    account = Account.from_key(environ["INTEROP_KEY"])
    scheme = ExactEvmScheme(signer=EthAccountSigner(account))
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
        "payer": account.address,
        "status": response.status_code,
        "receipt": receipt,
        "answer": response.json(),
    }


print(json.dumps(asyncio.run(buy())))
