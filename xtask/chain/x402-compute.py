"""Buys as the published scripts of x402-compute do, in words of our own.

See README.md for what comes in and goes out.
"""

import base64
import hashlib
import json
import secrets
import time
from os import environ

import requests
from eth_account import Account
from eth_account.messages import encode_defunct

USDC_ON_BASE = {
    "name": "USD Coin",
    "version": "2",
    "chainId": 8453,
    "verifyingContract": "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913",
}
AUTHORIZATION = {
    "from": "address",
    "to": "address",
    "value": "uint256",
    "validAfter": "uint256",
    "validBefore": "uint256",
    "nonce": "bytes32",
}
PATH = "/compute/provision"

account = Account.from_key(environ["INTEROP_KEY"])
body = json.dumps(json.loads(environ["INTEROP_BODY"]), separators=(",", ":"))


def with_prefix(signed):
    return "0x" + signed.signature.hex().removeprefix("0x")


def auth_headers():
    address = account.address.lower()
    digest = hashlib.sha256(body.encode()).hexdigest()
    now = str(int(time.time() * 1000))
    nonce = secrets.token_hex(16)
    lines = ["X402-COMPUTE-AUTH", "v1", "base", address, "POST", PATH, digest, now, nonce]
    return {
        "X-Auth-Address": address,
        "X-Auth-Chain": "base",
        "X-Auth-Signature": with_prefix(account.sign_message(encode_defunct(text="\n".join(lines)))),
        "X-Auth-Timestamp": now,
        "X-Auth-Nonce": nonce,
        "X-Auth-Sig-Encoding": "hex",
    }


def post(headers, timeout):
    return requests.post(
        environ["INTEROP_URL"] + PATH,
        data=body,
        headers={"Content-Type": "application/json", **headers},
        timeout=timeout,
    )


def is_base(option):
    network = str(option.get("network", "")).lower()
    return network == "base" or "8453" in network


def payment(option):
    message = {
        "from": account.address,
        "to": option["payTo"],
        "value": int(option["maxAmountRequired"]),
        "validAfter": 0,
        "validBefore": int(time.time()) + 3600,
        "nonce": "0x" + secrets.token_hex(32),
    }
    fields = [{"name": name, "type": kind} for name, kind in AUTHORIZATION.items()]
    types = {"TransferWithAuthorization": fields}
    signature = with_prefix(account.sign_typed_data(USDC_ON_BASE, types, message))
    authorization = {name: str(value) for name, value in message.items()}
    return {
        "x402Version": 1,
        "scheme": "exact",
        "network": "base",
        "payload": {"signature": signature, "authorization": authorization},
    }


challenge = post(auth_headers(), 30)
if challenge.status_code != 402:
    raise SystemExit(f"the challenge has status {challenge.status_code}: {challenge.text}")
chosen = next(option for option in challenge.json()["accepts"] if is_base(option))
header = base64.b64encode(json.dumps(payment(chosen)).encode()).decode()
# The paid request says who it is by the payment alone.
response = post({"X-Payment": header}, 120)
receipt = response.headers.get("x-payment-response")
result = {
    "payer": account.address,
    "status": response.status_code,
    "receipt": receipt and json.loads(base64.b64decode(receipt)),
    "answer": response.json(),
}
print(json.dumps(result))
