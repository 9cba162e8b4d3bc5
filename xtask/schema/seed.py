"""Buys and makes what the tests then ask for, and writes its ids down, one dictionary for each kind."""

import json
import os
import sys

import requests

from buyer import API_KEY, KEY_HEADER, Signature

BASE = sys.argv[1]
RECEIVER = f"http://127.0.0.1:{os.environ['SCHEMA_RECEIVER_PORT']}/hook"

ORDERS = 40
WEBHOOKS = 6
KEYS = 12

# The plan that is ordered, the begin of the names of those that it can be changed to, and where they are.
PLAN, FAMILY, REGION = "vc2-1c-1gb", "vc2-", "ewr"


def call(method, path, body=None, **more):
    headers = {} if "auth" in more else {KEY_HEADER: API_KEY}
    answer = requests.request(method, BASE + path, headers=headers, json=body, timeout=90, **more)
    if answer.status_code >= 300:
        sys.exit(f"{method} {path}: {answer.status_code} {answer.text}")
    return answer.json()


def write(name, values):
    with open(f"{name}.dict", "w", encoding="ascii") as dictionary:
        for value in values:
            dictionary.write(json.dumps(value) + "\n")


orders, operations = [], []
for number in range(ORDERS):
    wanted = {"plan": PLAN, "region": REGION, "os_id": 2284, "prepaid_hours": 48, "use_credits": True}
    bought = call("POST", "/compute/provision?wait=0", {**wanted, "label": f"seed {number}"})
    orders.append(bought["order"]["id"])
    operations.append(bought["operation_id"])
for order in orders:
    call("GET", f"/compute/orders/{order}?wait=60")
paid = [call("POST", f"/compute/instances/{order}/extend", {"use_credits": True}) for order in orders[:5]]
operations.extend(reply["operation_id"] for reply in paid)
webhooks = [call("POST", "/compute/webhooks", {"url": RECEIVER}) for _ in range(WEBHOOKS)]
keys = [call("POST", "/compute/api-keys", {}, auth=Signature()) for _ in range(KEYS)]

def part(name, ids):
    """Some are asked for, and others destroyed."""
    half = len(ids) // 2
    write(name, ids[:half])
    write(f"doomed_{name}", ids[half:])


part("orders", orders)
part("webhooks", [made["webhook"]["id"] for made in webhooks])
write("operations", operations)
write("keys", [made["id"] for made in keys])
write("receivers", [RECEIVER])
plans = [plan["id"] for plan in call("GET", "/compute/plans")["plans"]]
write("plans", [plan for plan in plans if plan.startswith(FAMILY)])
write("larger_plans", [plan for plan in plans if plan.startswith(FAMILY) and plan != PLAN])
write("regions", [REGION])
