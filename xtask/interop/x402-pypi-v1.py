"""Buys with PyPI x402 1, which speaks x402 version 1. See README.md for what comes in and goes out."""

import json
from os import environ

from eth_account import Account
from x402.clients.base import decode_x_payment_response
from x402.clients.requests import x402_requests

account = Account.from_key(environ["INTEROP_KEY"])
session = x402_requests(account, max_value=int(environ["INTEROP_MAX_ATOMIC"]))
response = session.post(
    environ["INTEROP_URL"] + "/compute/provision",
    data=environ["INTEROP_BODY"],
    headers={"content-type": "application/json"},
    timeout=120,
)
receipt = response.headers.get("x-payment-response")
result = {
    "payer": account.address,
    "status": response.status_code,
    "receipt": receipt and decode_x_payment_response(receipt),
    "answer": response.json(),
}
print(json.dumps(result))
