"""Signs and pays where the API asks for a wallet, listens where its webhooks call, and counts the answers."""

import os
import random
import threading
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import requests
import schemathesis
from requests.auth import AuthBase

from buyer import API_KEY, KEY_HEADER, Signature, body_of, pay

PURCHASES = {
    ("POST", "/compute/credits/topup"),
    ("POST", "/compute/instances/{id}/extend"),
    ("POST", "/compute/provision"),
}

# The same every time.
DICE = random.Random(1)

# One line for each answer: operation and status.
SEEN_LOCK = threading.Lock()


# An API key will not do there.
for method, path in [("POST", "/compute/api-keys"), ("DELETE", "/compute/api-keys/{id}")]:
    schemathesis.auth.set_from_requests(Signature()).apply_to(method=method, path=path)


class Payment(AuthBase):
    """A payment of x402 for what the shop asks, when it asks."""

    def __call__(self, request):
        headers = request.headers
        if headers.get(KEY_HEADER) != API_KEY or "X-PAYMENT" in headers or "Authorization" in headers:
            return request
        asked = requests.request(
            request.method, request.url, headers=dict(headers), data=body_of(request), timeout=30
        )
        if asked.status_code == 402 and asked.json().get("accepts"):
            headers["X-PAYMENT"] = pay(asked.json()["accepts"][0])
        return request


def name_of(case):
    return case.operation.method.upper(), case.operation.path


@schemathesis.hook
def before_call(context, case, kwargs):
    """Every other purchase of ours is paid. The key that all requests carry is not revoked."""
    own, wanted = os.environ["SCHEMA_API_KEY_ID"], case.path_parameters
    if name_of(case) == ("DELETE", "/compute/api-keys/{id}") and wanted and wanted.get("id") == own:
        wanted["id"] = str(uuid.uuid4())
    if name_of(case) in PURCHASES and DICE.randrange(2):
        kwargs["auth"] = Payment()


@schemathesis.hook
def after_call(context, case, response):
    method, path = name_of(case)
    with SEEN_LOCK, open(os.environ["SCHEMA_SEEN"], "a", encoding="ascii") as seen:
        seen.write(f"{method} {path} {response.status_code}\n")


class Receiver(BaseHTTPRequestHandler):
    """Agrees to hear whatever a webhook says."""

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


receiver = ThreadingHTTPServer(("127.0.0.1", int(os.environ["SCHEMA_RECEIVER_PORT"])), Receiver)
threading.Thread(target=receiver.serve_forever, daemon=True).start()
