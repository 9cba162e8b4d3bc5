"""The wallet that buys in these tests: what it signs, and how it pays."""

import base64
import hashlib
import json
import os
import secrets
import time
from urllib.parse import urlsplit

from eth_account import Account
from eth_account.messages import encode_defunct, encode_typed_data
from requests.auth import AuthBase

KEY_HEADER = "X-API-Key"
API_KEY = os.environ["SCHEMA_API_KEY"]
WALLET = Account.from_key(os.environ["SCHEMA_WALLET_KEY"])

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
    """The nine lines of the X-Auth-* headers, instead of the API key."""

    def __call__(self, request):
        request.headers.pop(KEY_HEADER, None)
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


def pay(offer):
    """The value of X-PAYMENT for an offer of version 1."""
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
