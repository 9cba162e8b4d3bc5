"""Buys on Solana as the published scripts of x402-compute do, in words of our own.

See README.md for what comes in and goes out.
"""

import base64
import hashlib
import json
import secrets
import struct
import time
from os import environ

import requests
from solders.hash import Hash
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.message import MessageV0, to_bytes_versioned
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.token.associated import get_associated_token_address
from solders.transaction import VersionedTransaction

BUDGET = Pubkey.from_string("ComputeBudget111111111111111111111111111111")
TOKEN = Pubkey.from_string("TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA")
UNITS, MICRO_LAMPORTS = 200_000, 1_000
DECIMALS = 6
PATH = "/compute/provision"

keypair = Keypair.from_base58_string(environ["INTEROP_KEY"])
buyer = keypair.pubkey()
body = json.dumps(json.loads(environ["INTEROP_BODY"]), separators=(",", ":"))


def auth_headers():
    digest = hashlib.sha256(body.encode()).hexdigest()
    now = str(int(time.time() * 1000))
    nonce = secrets.token_hex(16)
    lines = ["X402-COMPUTE-AUTH", "v1", "solana", str(buyer), "POST", PATH, digest, now, nonce]
    signature = keypair.sign_message("\n".join(lines).encode())
    return {
        "X-Auth-Address": str(buyer),
        "X-Auth-Chain": "solana",
        "X-Auth-Signature": base64.b64encode(bytes(signature)).decode(),
        "X-Auth-Timestamp": now,
        "X-Auth-Nonce": nonce,
        "X-Auth-Sig-Encoding": "base64",
    }


def post(headers, timeout):
    return requests.post(
        environ["INTEROP_URL"] + PATH,
        data=body,
        headers={"Content-Type": "application/json", **headers},
        timeout=timeout,
    )


def ask(method, *params):
    call = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    return requests.post(environ["INTEROP_RPC"], json=call, timeout=30).json()["result"]["value"]


def destination(pay_to, mint):
    account = ask("getAccountInfo", pay_to, {"encoding": "base64"})
    is_token_account = account is not None and account["owner"] == str(TOKEN)
    address = Pubkey.from_string(pay_to)
    return address if is_token_account else get_associated_token_address(address, mint)


def transaction(option):
    mint = Pubkey.from_string(option["asset"])
    fee_payer = Pubkey.from_string(option["extra"]["feePayer"])
    amount = int(option["maxAmountRequired"])
    source = get_associated_token_address(buyer, mint)
    accounts = [
        AccountMeta(source, False, True),
        AccountMeta(mint, False, False),
        AccountMeta(destination(option["payTo"], mint), False, True),
        AccountMeta(buyer, True, False),
    ]
    instructions = [
        Instruction(BUDGET, struct.pack("<BI", 2, UNITS), []),
        Instruction(BUDGET, struct.pack("<BQ", 3, MICRO_LAMPORTS), []),
        Instruction(TOKEN, struct.pack("<BQB", 12, amount, DECIMALS), accounts),
    ]
    blockhash = Hash.from_string(ask("getLatestBlockhash")["blockhash"])
    message = MessageV0.try_compile(fee_payer, instructions, [], blockhash)
    signature = keypair.sign_message(to_bytes_versioned(message))
    signed = VersionedTransaction.populate(message, [Signature.default(), signature])
    return base64.b64encode(bytes(signed)).decode()


def is_solana(option):
    network = str(option.get("network", "")).lower()
    return network == "solana" or network.startswith("solana:")


challenge = post(auth_headers(), 30)
if challenge.status_code != 402:
    raise SystemExit(f"the challenge has status {challenge.status_code}: {challenge.text}")
chosen = next(option for option in challenge.json()["accepts"] if is_solana(option))
payment = {
    "x402Version": chosen.get("x402Version", 1),
    "scheme": "exact",
    "network": chosen["network"],
    "payload": {"transaction": transaction(chosen)},
}
header = base64.b64encode(json.dumps(payment).encode()).decode()
# The paid request says who it is by the payment alone.
response = post({"X-Payment": header}, 120)
receipt = response.headers.get("x-payment-response")
result = {
    "payer": str(buyer),
    "status": response.status_code,
    "receipt": receipt and json.loads(base64.b64decode(receipt)),
    "answer": response.json(),
}
print(json.dumps(result))
