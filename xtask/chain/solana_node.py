"""A node of Solana: JSON-RPC in front of LiteSVM, which carries out the real token programs.

See README.md for what comes in and goes out. Blocks are made every 400 ms, as far as anybody can see.
"""

import base64
import json
import struct
import threading
import time
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from os import environ

from solders.account import Account
from solders.clock import Clock
from solders.hash import Hash
from solders.keypair import Keypair
from solders.litesvm import LiteSVM
from solders.message import to_bytes_versioned
from solders.pubkey import Pubkey
from solders.token.associated import get_associated_token_address
from solders.transaction import VersionedTransaction
from solders.transaction_metadata import FailedTransactionMetadata

GENESIS = "5eykt4UsFv8P8NJdTREpY1vzqKqZKvdpKuc147dw2N9d"
USDC = Pubkey.from_string("EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v")
TOKEN = Pubkey.from_string("TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA")
DECIMALS = 6
# A thousand dollars.
FUNDS = 1_000_000_000
SOL = 1_000_000_000
BLOCK_S = 0.4
# Blocks until a blockhash is too old, and until nothing is undone.
LIFE, FINALITY = 150, 32
# Slots that had no block, so that nobody takes a slot for a height.
EMPTY_SLOTS = 1_000
CONFIRMED_AFTER_S = 0.4


class Refused(Exception):
    def __init__(self, code, message, data=None):
        super().__init__(message)
        self.answer = {"code": code, "message": message} | ({"data": data} if data else {})


def mint_account():
    # Authority (none), supply, decimals, initialized, who may freeze (nobody).
    data = struct.pack("<I32sQBBI32s", 0, bytes(32), 10**15, DECIMALS, 1, 0, bytes(32))
    return Account(1_461_600, data, TOKEN, False, 0)


def token_account(owner, amount):
    # Mint, owner, amount, delegate (none), state, native (no), delegated, who may close (the owner).
    rest = struct.pack("<QI32sBIQQI32s", amount, 0, bytes(32), 1, 0, 0, 0, 0, bytes(32))
    return Account(2_039_280, bytes(USDC) + bytes(owner) + rest, TOKEN, False, 0)


def token_amount(account):
    return struct.unpack_from("<Q", bytes(account.data), 64)[0]


def ui_amount(amount):
    text = f"{amount / 10**DECIMALS:f}"
    return {
        "amount": str(amount),
        "decimals": DECIMALS,
        "uiAmount": float(text),
        "uiAmountString": text,
    }


class Node:
    def __init__(self, wallets):
        self.lock = threading.Lock()
        # Simulations come without the signature of the fee payer; what is sent is checked below.
        self.svm = LiteSVM().with_sigverify(False).with_blockhash_check(False)
        self.start = time.time() - 10_000 * BLOCK_S
        self.landed = {}
        self.keys = {name: Keypair() for name in [*wallets, "feePayer", "treasury", "till"]}
        self.svm.set_account(USDC, mint_account())
        self.svm.airdrop(self.keys["feePayer"].pubkey(), SOL)
        # Where those have their money whose account is not the one that belongs to their wallet.
        self.accounts = {"till": Keypair().pubkey()}
        for name in wallets:
            self.open(name, FUNDS)
        self.open("treasury", 0)
        self.open("till", 0)

    def account_of(self, name):
        owner = self.keys[name].pubkey()
        return self.accounts.get(name) or get_associated_token_address(owner, USDC)

    def open(self, name, amount):
        account = token_account(self.keys[name].pubkey(), amount)
        self.svm.set_account(self.account_of(name), account)

    def setup(self):
        def describe(name, key):
            account = str(self.account_of(name))
            return {"address": str(key.pubkey()), "key": str(key), "account": account}

        wallets = {name: describe(name, key) for name, key in self.keys.items()}
        return {"wallets": wallets, "token": str(USDC), "decimals": DECIMALS}

    def height(self):
        return int((time.time() - self.start) / BLOCK_S)

    def hash_at(self, height):
        return Hash(sha256(height.to_bytes(8, "little")).digest())

    def is_valid(self, blockhash):
        height = self.height()
        return any(self.hash_at(height - age) == blockhash for age in range(LIFE))

    def tick(self):
        slot = self.height() + EMPTY_SLOTS
        self.svm.set_clock(Clock(slot, 0, 0, 0, int(time.time())))

    def answer(self, method, params):
        handler = getattr(self, method, None)
        if handler is None or not method.startswith(("get", "is", "send", "simulate")):
            raise Refused(-32601, "Method not found")
        options = next((it for it in params if isinstance(it, dict)), {})
        with self.lock:
            self.tick()
            return handler(params, options)

    def in_context(self, value):
        return {"context": {"slot": self.height() + EMPTY_SLOTS}, "value": value}

    def find(self, address):
        account = self.svm.get_account(Pubkey.from_string(address))
        return account if account and (account.lamports or account.data) else None

    def describe(self, address, encoding):
        account = self.find(address)
        if account is None:
            return None
        data = bytes(account.data)
        shown = [base64.b64encode(data).decode(), "base64"]
        if encoding == "jsonParsed" and account.owner == TOKEN and len(data) == 165:
            info = {
                "mint": str(Pubkey(data[:32])),
                "owner": str(Pubkey(data[32:64])),
                "state": "initialized",
                "isNative": False,
                "tokenAmount": ui_amount(token_amount(account)),
            }
            shown = {"program": "spl-token", "space": 165, "parsed": {"type": "account", "info": info}}
        return {
            "lamports": account.lamports,
            "owner": str(account.owner),
            "executable": account.executable,
            "rentEpoch": 0,
            "space": len(data),
            "data": shown,
        }

    def read(self, text):
        try:
            return VersionedTransaction.from_bytes(base64.b64decode(text, validate=True))
        except ValueError as error:
            raise Refused(-32602, f"no transaction: {error}") from error

    def simulated(self, transaction):
        """The error and the logs of a transaction as things stand, and the units it takes."""
        if not self.is_valid(transaction.message.recent_blockhash):
            return "BlockhashNotFound", [], 0
        result = self.svm.simulate_transaction(transaction)
        if isinstance(result, FailedTransactionMetadata):
            return str(result.err()), result.meta().logs(), result.meta().compute_units_consumed()
        return None, result.meta().logs(), result.meta().compute_units_consumed()

    def balances(self, transaction):
        found = []
        for place, key in enumerate(transaction.message.account_keys):
            account = self.svm.get_account(key)
            if account and account.owner == TOKEN and len(account.data) == 165:
                data = bytes(account.data)
                found.append(
                    {
                        "accountIndex": place,
                        "mint": str(Pubkey(data[:32])),
                        "owner": str(Pubkey(data[32:64])),
                        "programId": str(TOKEN),
                        "uiTokenAmount": ui_amount(token_amount(account)),
                    }
                )
        return found

    def getHealth(self, _params, _options):
        return "ok"

    def getVersion(self, _params, _options):
        return {"solana-core": "4.2.2", "feature-set": 1}

    def getGenesisHash(self, _params, _options):
        return GENESIS

    def getSlot(self, _params, _options):
        return self.height() + EMPTY_SLOTS

    def getBlockHeight(self, _params, options):
        return self.height() - (FINALITY if options.get("commitment") == "finalized" else 0)

    def getFirstAvailableBlock(self, _params, _options):
        return EMPTY_SLOTS

    def getBlockTime(self, params, _options):
        return int(self.start + (params[0] - EMPTY_SLOTS) * BLOCK_S)

    def getLatestBlockhash(self, _params, _options):
        height = self.height()
        blockhash = str(self.hash_at(height))
        return self.in_context({"blockhash": blockhash, "lastValidBlockHeight": height + LIFE})

    def isBlockhashValid(self, params, _options):
        return self.in_context(self.is_valid(Hash.from_string(params[0])))

    def getBalance(self, params, _options):
        account = self.find(params[0])
        return self.in_context(account.lamports if account else 0)

    def getMinimumBalanceForRentExemption(self, params, _options):
        return self.svm.minimum_balance_for_rent_exemption(params[0])

    def getAccountInfo(self, params, options):
        return self.in_context(self.describe(params[0], options.get("encoding")))

    def getMultipleAccounts(self, params, options):
        shown = [self.describe(address, options.get("encoding")) for address in params[0]]
        return self.in_context(shown)

    def getTokenAccountBalance(self, params, _options):
        account = self.find(params[0])
        if account is None:
            raise Refused(-32602, "Invalid param: could not find account")
        return self.in_context(ui_amount(token_amount(account)))

    def simulateTransaction(self, params, options):
        transaction = self.read(params[0])
        if options.get("sigVerify") and not all(transaction.verify_with_results()):
            raise Refused(-32003, "Transaction signature verification failure")
        if options.get("replaceRecentBlockhash"):
            result = self.svm.simulate_transaction(transaction)
            failed = isinstance(result, FailedTransactionMetadata)
            outcome = str(result.err()) if failed else None
            meta = result.meta()
            logs, units = meta.logs(), meta.compute_units_consumed()
        else:
            outcome, logs, units = self.simulated(transaction)
        return self.in_context({"err": outcome, "logs": logs, "accounts": None, "unitsConsumed": units})

    def sendTransaction(self, params, options):
        transaction = self.read(params[0])
        if not all(transaction.verify_with_results()):
            raise Refused(-32003, "Transaction signature verification failure")
        name = str(transaction.signatures[0])
        if name in self.landed:
            return name
        if not options.get("skipPreflight"):
            outcome, logs, _ = self.simulated(transaction)
            if outcome:
                raise Refused(-32002, f"simulation failed: {outcome}", {"err": outcome, "logs": logs})
        if not self.is_valid(transaction.message.recent_blockhash):
            # A leader drops it without a word.
            return name
        before = self.balances(transaction)
        result = self.svm.send_transaction(transaction)
        failed = isinstance(result, FailedTransactionMetadata)
        self.landed[name] = {
            "at": time.time(),
            "height": self.height(),
            "err": str(result.err()) if failed else None,
            "wire": params[0],
            "before": before,
            "after": self.balances(transaction),
        }
        return name

    def status(self, name):
        landed = self.landed.get(name)
        if landed is None or time.time() - landed["at"] < CONFIRMED_AFTER_S:
            return None
        is_final = self.height() - landed["height"] >= FINALITY
        err = landed["err"]
        return {
            "slot": landed["height"] + EMPTY_SLOTS,
            "confirmations": None if is_final else 1,
            "err": err,
            "status": {"Err": err} if err else {"Ok": None},
            "confirmationStatus": "finalized" if is_final else "confirmed",
        }

    def getSignatureStatuses(self, params, _options):
        return self.in_context([self.status(name) for name in params[0]])

    def getTransaction(self, params, _options):
        status = self.status(params[0])
        if status is None:
            return None
        landed = self.landed[params[0]]
        meta = {
            "err": landed["err"],
            "status": status["status"],
            "preTokenBalances": landed["before"],
            "postTokenBalances": landed["after"],
        }
        return {
            "slot": status["slot"],
            "blockTime": int(landed["at"]),
            "version": 0,
            "transaction": [landed["wire"], "base64"],
            "meta": meta,
        }


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    node = None

    def log_message(self, *_arguments):
        pass

    def reply(self, call):
        head = {"jsonrpc": "2.0", "id": call.get("id")}
        try:
            return head | {"result": self.node.answer(call.get("method", ""), call.get("params") or [])}
        except Refused as refused:
            return head | {"error": refused.answer}

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        said = [self.reply(it) for it in asked] if isinstance(asked, list) else self.reply(asked)
        body = json.dumps(said).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


Handler.node = Node(json.loads(environ["SOLANA_BUYERS"]))
server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print("setup: " + json.dumps(Handler.node.setup()))
print(f"node: http://127.0.0.1:{server.server_port}", flush=True)
server.serve_forever()
