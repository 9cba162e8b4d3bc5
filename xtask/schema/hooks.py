"""Signs and pays where the API asks for a wallet, so that schemathesis sees those answers, too.

Requests that carry the funded API key are signed instead where only a signature will do, and half of the top-ups are
paid. Nothing is added to a request without the key: whether it is refused is what is tested then.
"""

import base64
import hashlib
import json
import os
import secrets
import threading
import time
from urllib.parse import urlsplit

import requests
import schemathesis
from eth_account import Account
from eth_account.messages import encode_defunct, encode_typed_data
from requests.auth import AuthBase

KEY_HEADER = "X-API-Key"
API_KEY = os.environ["SCHEMA_API_KEY"]
WALLET = Account.from_key(os.environ["SCHEMA_WALLET_KEY"])

# Where an API key will not do.
SIGNED = {("POST", "/compute/api-keys"), ("DELETE", "/compute/api-keys/{id}")}
PAID = {("POST", "/compute/credits/topup")}

# One line for each answer: operation and status.
SEEN_LOCK = threading.Lock()

CHAINS = {"base": 8453, "base-sepolia": 84532}

TRANSFER = {
    "TransferWithAuthorization": [
        {"name": "from", "type": "address"},
        {"name": "to", "type": "address"},
        {"name": "value", "type": "uint256"},
        {"name": "validAfter", "type": "uint256"},
        {"name": "validBefore", "type": "uint256"},
        {"name": "nonce", "type": "bytes32"},
    ]
}


def body_of(request):
    body = request.body or b""
    return body.encode() if isinstance(body, str) else bytes(body)


class Signature(AuthBase):
    """The nine lines of the X-Auth-* headers instead of the API key."""

    def __call__(self, request):
        if request.headers.get(KEY_HEADER) != API_KEY:
            return request
        del request.headers[KEY_HEADER]
        address, stamp = WALLET.address.lower(), str(int(time.time() * 1000))
        nonce, path = secrets.token_hex(16), urlsplit(request.url).path
        digest = hashlib.sha256(body_of(request)).hexdigest()
        lines = ["X402-COMPUTE-AUTH", "v1", "base", address, request.method, path, digest, stamp, nonce]
        signed = WALLET.sign_message(encode_defunct(text="\n".join(lines)))
        request.headers.update(
            {
                "X-Auth-Address": address,
                "X-Auth-Chain": "base",
                "X-Auth-Signature": "0x" + signed.signature.hex().removeprefix("0x"),
                "X-Auth-Timestamp": stamp,
                "X-Auth-Nonce": nonce,
                "X-Auth-Sig-Encoding": "hex",
            }
        )
        return request


class Payment(AuthBase):
    """A payment of x402 for what the shop asks."""

    def __call__(self, request):
        if request.headers.get(KEY_HEADER) != API_KEY or "X-PAYMENT" in request.headers:
            return request
        asked = requests.request(
            request.method, request.url, headers=dict(request.headers), data=body_of(request), timeout=30
        )
        if asked.status_code == 402 and asked.json().get("accepts"):
            request.headers["X-PAYMENT"] = pay(asked.json()["accepts"][0])
        return request


def pay(offer):
    now, nonce = int(time.time()), secrets.token_bytes(32)
    message = {
        "from": WALLET.address,
        "to": offer["payTo"],
        "value": int(offer["maxAmountRequired"]),
        "validAfter": now - 60,
        "validBefore": now + offer["maxTimeoutSeconds"],
        "nonce": nonce,
    }
    domain = {
        "name": offer["extra"]["name"],
        "version": offer["extra"]["version"],
        "chainId": CHAINS[offer["network"]],
        "verifyingContract": offer["asset"],
    }
    typed = encode_typed_data(domain_data=domain, message_types=TRANSFER, message_data=message)
    signed = WALLET.sign_message(typed)
    numbers = {name: str(message[name]) for name in ("value", "validAfter", "validBefore")}
    payload = {
        "x402Version": 1,
        "scheme": "exact",
        "network": offer["network"],
        "payload": {
            "signature": "0x" + signed.signature.hex().removeprefix("0x"),
            "authorization": {
                "from": message["from"],
                "to": message["to"],
                "nonce": "0x" + nonce.hex(),
                **numbers,
            },
        },
    }
    return base64.b64encode(json.dumps(payload).encode()).decode()


def name_of(case):
    return case.operation.method.upper(), case.operation.path


@schemathesis.hook
def before_call(context, case, kwargs):
    operation = name_of(case)
    if operation in SIGNED:
        kwargs["auth"] = Signature()
    elif operation in PAID and secrets.randbelow(2):
        kwargs["auth"] = Payment()


@schemathesis.hook
def after_call(context, case, response):
    method, path = name_of(case)
    with SEEN_LOCK, open(os.environ["SCHEMA_SEEN"], "a", encoding="ascii") as seen:
        seen.write(f"{method} {path} {response.status_code}\n")
