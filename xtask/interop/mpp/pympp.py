"""Buys with PyPI pympp. See README.md for what comes in and goes out."""

import asyncio
import json
from os import environ

from mpp import Receipt
from mpp.client import Mpp
from mpp.methods.tempo import TempoAccount
from mpp.methods.tempo import client as tempo


async def buy():
    account = TempoAccount.from_key(environ["INTEROP_KEY"])
    method = tempo.charge(account=account, rpc_url=environ["INTEROP_RPC"])
    async with Mpp(methods=[method]) as mpp:
        response = await mpp.fetch(
            environ["INTEROP_URL"] + environ["INTEROP_PATH"],
            method="POST",
            content=environ["INTEROP_BODY"],
            headers={"content-type": "application/json"}
            | ({"x-api-key": key} if (key := environ.get("INTEROP_API_KEY")) else {}),
        )
    header = response.headers.get("payment-receipt")
    receipt = header and Receipt.from_payment_receipt(header)
    return {
        "payer": account.address,
        "status": response.status_code,
        "receipt": receipt
        and {
            "status": receipt.status,
            "method": receipt.method,
            "reference": receipt.reference,
            "timestamp": receipt.timestamp.isoformat(),
        },
        "answer": response.json(),
    }


print(json.dumps(asyncio.run(buy())))
