#!/usr/bin/env python3
"""Distils catalogue answers of the two vendors into vultr.json and digitalocean.json.

    distil.py FIXTURES

FIXTURES holds vultr/{plans,regions,os}.json and digitalocean/{sizes,regions,images_distribution}.json,
each an answer of the vendor's list call. The rules are in README.md.
"""

import json
import pathlib
import sys
from decimal import ROUND_CEILING, Decimal

HERE = pathlib.Path(__file__).parent

# The product page sells this id; the vendor never had it. Cost: 6/4 of the vendor's 4 GB slice.
QUICK_START_GPU = {
    "id": "vcg-a100-1c-2g-6gb", "vcpu_count": 1, "ram": 2048, "disk": 70, "disk_count": 1,
    "bandwidth": 1024, "monthly_cost": Decimal(135), "hourly_cost": Decimal("0.185"),
    "gpu_type": "NVIDIA_A100", "gpu_vram_gb": 6, "locations": ["ewr", "fra", "nrt"],
}

HIDDEN_VULTR_FAMILIES = {"application", "backup", "iso", "snapshot", "windows"}

# The vendor's region list names the city only.
DIGITALOCEAN_PLACES = {
    "ams": ("NL", "Europe"), "atl": ("US", "North America"), "blr": ("IN", "Asia"),
    "fra": ("DE", "Europe"), "lon": ("GB", "Europe"), "mem": ("US", "North America"),
    "mkc": ("US", "North America"), "nyc": ("US", "North America"), "ric": ("US", "North America"),
    "sfo": ("US", "North America"), "sgp": ("SG", "Asia"), "syd": ("AU", "Australia"),
    "tor": ("CA", "North America"),
}

DIGITALOCEAN_DEDICATED = {"c", "c2", "g", "gd", "m", "m3", "m6", "so", "so1_5"}


def read(path):
    return json.loads(path.read_text(), parse_float=Decimal, parse_int=int)


def micros(dollars):
    """Micro-dollars, rounded up: a cost is never understated."""
    return int((Decimal(dollars) * 1_000_000).to_integral_value(ROUND_CEILING))


def vultr_cost(row):
    return max(micros(row["hourly_cost"]), micros(Decimal(row["monthly_cost"]) / 672))


def vultr_family(row):
    prefix = row["id"].split("-")[0]
    if prefix == "vcg" or row.get("gpu_brand", "none") != "none" or row.get("gpu_vram_gb"):
        return "vcg"
    return {"vhp": "vhp", "vdc": "vdc", "voc": "vdc"}.get(prefix, "vps")


def is_sold_by_vultr(row):
    return (
        row["monthly_cost"] > 0
        and row.get("deploy_ondemand", True)
        and row.get("storage_type") != "block_storage"
        and not row["id"].endswith("-v6")
        and any(row["locations"])
    )


def vultr(folder):
    rows = [*read(folder / "plans.json")["plans"], QUICK_START_GPU]
    plans = [
        {
            "id": row["id"],
            "provider": "vultr",
            "family": vultr_family(row),
            "vcpu_count": row["vcpu_count"],
            "ram_mib": row["ram"],
            "disk_gb": row["disk"] * row["disk_count"],
            "bandwidth_gb": row["bandwidth"],
            "gpu": {"model": row["gpu_type"], "vram_gb": row["gpu_vram_gb"]}
            if row.get("gpu_vram_gb") else None,
            "cost": vultr_cost(row),
            "regional_cost": {
                region: vultr_cost(cost)
                for region, cost in sorted(row.get("location_cost", {}).items())
            },
            "locations": sorted(filter(None, set(row["locations"]))),
        }
        for row in rows if is_sold_by_vultr(row)
    ]
    regions = [
        {member: row[member] for member in ("id", "city", "country", "continent")}
        for row in read(folder / "regions.json")["regions"]
    ]
    images = [
        {"id": str(row["id"]), "name": row["name"], "arch": row["arch"], "family": row["family"]}
        for row in read(folder / "os.json")["os"] if row["family"] not in HIDDEN_VULTR_FAMILIES
    ]
    return {"plans": plans, "regions": regions, "images": images}


def digitalocean_family(slug):
    prefix = slug.split("-")[0]
    if prefix == "gpu":
        return "vcg"
    if prefix == "s" and slug.endswith(("-amd", "-intel")):
        return "vhp"
    return "vdc" if prefix in DIGITALOCEAN_DEDICATED else "vps"


def digitalocean_gpu(row):
    gpu = row.get("gpu_info")
    if not gpu:
        return None
    return {"model": gpu["model"], "vram_gb": gpu["vram"]["amount"], "count": gpu["count"]}


def digitalocean_needs(row):
    needs = {"min_disk_gb": row["min_disk_size"], "regions": sorted(row["regions"])}
    if row["slug"].startswith("gpu-"):
        _, kind, _ = row["slug"].split("-")
        model, _, count = kind.rpartition("x")
        needs["gpu"] = {"maker": "amd" if kind == "amd" else "nvidia"}
        if model:
            needs["gpu"]["count"] = int(count)
    return needs


def digitalocean(folder):
    open_regions = [row for row in read(folder / "regions.json")["regions"] if row["available"]]
    open_slugs = {row["slug"] for row in open_regions}
    plans = []
    for row in read(folder / "sizes.json")["sizes"]:
        locations = sorted(open_slugs.intersection(row["regions"]))
        if not row["available"] or not locations or row["slug"].endswith("-spot"):
            continue
        plans.append({
            "id": "do:" + row["slug"],
            "provider": "digitalocean",
            "family": digitalocean_family(row["slug"]),
            "vcpu_count": row["vcpus"],
            "ram_mib": row["memory"],
            "disk_gb": row["disk"],
            "bandwidth_gb": int(Decimal(row["transfer"]) * 1000),
            "gpu": digitalocean_gpu(row),
            "cost": micros(row["price_hourly"]),
            "regional_cost": {},
            "locations": locations,
        })
    regions = []
    for row in open_regions:
        country, continent = DIGITALOCEAN_PLACES[row["slug"][:3]]
        city = row["name"].rstrip("0123456789 ")
        regions.append(
            {"id": row["slug"], "city": city, "country": country, "continent": continent})
    images = [
        {"id": row["slug"], "name": digitalocean_image_name(row), "arch": "x64",
         "family": row["distribution"].lower().replace(" ", ""), "needs": digitalocean_needs(row)}
        for row in read(folder / "images_distribution.json")["images"]
        if row["status"] == "available" and row["slug"]
    ]
    return {"plans": plans, "regions": regions, "images": images}


def digitalocean_image_name(row):
    name, distribution = row["name"], row["distribution"]
    return name if name.startswith(distribution) else f"{distribution} {name}"


def write(name, catalog):
    """One row a line, ascending by id, so that a change shows as a readable difference."""
    parts = []
    for member, rows in catalog.items():
        rows.sort(key=lambda row: row["id"])
        lines = ",\n".join("    " + json.dumps(row, ensure_ascii=False) for row in rows)
        parts.append(f'  "{member}": [\n{lines}\n  ]')
    (HERE / name).write_text("{\n" + ",\n".join(parts) + "\n}\n")


def main():
    fixtures = pathlib.Path(sys.argv[1])
    write("vultr.json", vultr(fixtures / "vultr"))
    write("digitalocean.json", digitalocean(fixtures / "digitalocean"))


if __name__ == "__main__":
    main()
