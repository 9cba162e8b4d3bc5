"""PyPI pympp at the disposal of a test: questions as JSON lines in, answers as JSON lines out. See README.md."""

import asyncio
import json
import sys
import threading
from dataclasses import asdict
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from mpp import BodyDigest, Challenge, Credential, Receipt
from mpp._canonical import canonical_b64url
from mpp.client.transport import _payment_challenges
from mpp.errors import InvalidChallengeError
from mpp.methods.tempo import TempoAccount, attribution
from mpp.methods.tempo import client as tempo
from mpp.server.verify import _authenticate_echo, _challenge_from_echo

# What a node would say.
PRICES = {"eth_chainId": "0x1079", "eth_gasPrice": "0x5d21dba00", "eth_estimateGas": "0xc350"}


class Node(BaseHTTPRequestHandler):
    """A node that knows the prices and nothing else."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        answer = json.dumps({"jsonrpc": "2.0", "id": 1, "result": PRICES[json.loads(body)["method"]]})
        self.send_response(200)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer.encode())

    def log_message(self, *arguments):
        pass


def members(value):
    return {name: member for name, member in asdict(value).items() if member is not None}


def shown(challenge):
    """An offer as its parameters: `request` as an object, `opaque` as the text that it is on the wire."""
    parameters = members(challenge)
    del parameters["request_b64"]
    if "opaque" in parameters:
        parameters["opaque"] = canonical_b64url(parameters["opaque"])
    return parameters


def parse(line):
    return shown(Challenge.from_www_authenticate(line))


def parse_list(line):
    return [parse(offer) for offer in _payment_challenges(line)]


def verify(line, secret):
    challenge = Challenge.from_www_authenticate(line)
    return challenge.verify(secret, challenge.realm)


def create(terms, secret):
    return Challenge.create(secret_key=secret, **terms).to_www_authenticate(terms["realm"])


def read_credential(header, secret):
    credential = Credential.from_authorization(header)
    echo = credential.challenge
    try:
        challenge = shown(_challenge_from_echo(echo, *_authenticate_echo(credential, secret_key=secret)))
    except InvalidChallengeError:
        challenge = None
    return {
        "challenge": challenge,
        "payload": credential.payload,
        "source": credential.source,
        "verified": challenge is not None,
    }


def pay(line, key):
    method = tempo.TempoMethod(account=TempoAccount.from_key(key), rpc_url=RPC)
    challenge = Challenge.from_www_authenticate(line)
    return asyncio.run(method.create_credential(challenge)).to_authorization()


def read_receipt(header):
    receipt = members(Receipt.from_payment_receipt(header))
    # Seconds since 1970.
    receipt["timestamp"] = receipt["timestamp"].timestamp()
    if "external_id" in receipt:
        receipt["externalId"] = receipt.pop("external_id")
    return receipt


def write_receipt(receipt):
    time = datetime.fromisoformat(receipt["timestamp"])
    named = {"reference": receipt["reference"], "method": receipt["method"], "timestamp": time}
    return Receipt.success(**named, external_id=receipt.get("externalId")).to_payment_receipt()


def memo(realm, challenge, client=None):
    return attribution.encode(challenge_id=challenge, server_id=realm, client_id=client)


def digest(body):
    return BodyDigest.compute(body)


ANSWERS = {
    "parse": parse,
    "parseList": parse_list,
    "verify": verify,
    "create": create,
    "readCredential": read_credential,
    "pay": pay,
    "readReceipt": read_receipt,
    "writeReceipt": write_receipt,
    "memo": memo,
    "digest": digest,
}

node = ThreadingHTTPServer(("127.0.0.1", 0), Node)
RPC = f"http://127.0.0.1:{node.server_port}"
threading.Thread(target=node.serve_forever, daemon=True).start()
for line in sys.stdin:
    question = json.loads(line)
    try:
        answer = {"ok": ANSWERS[question.pop("ask")](**question)}
    except Exception as error:
        answer = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(answer), flush=True)
