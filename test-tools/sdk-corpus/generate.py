#!/usr/bin/env python3
"""Writes golden.jsonl: what openstacksdk makes of the settings in cases.py.

One line a case: its files, variables and the cloud that is asked for; `sdk` has the effective
settings, or `refuses`; `ours` has what we mean to do otherwise, with its reason. The SDK's files
lie in `here` (the current directory), `config` (~/.config/openstack) and `etc` (/etc/openstack)
of a scratch directory, which the cases call `@`.
"""
import json
import os
import pathlib
import shutil
import sys
import tempfile
import warnings

import cases
from openstack.config import loader, vendors

SERVICES = ["compute", "image", "network", "block-storage", "orchestration"]
HOME = "/home/somebody"


class Fetched:
    """What a vendor's address answers, without asking it."""

    ok = True

    def json(self):
        auth = {"auth_url": "https://fetched.example/v3"}
        return {"name": "fetched", "profile": {"auth": auth, "regions": ["f1"]}}


def files_of(root, stem):
    return [str(root / d / f"{stem}.{x}") for d in ("here", "config", "etc") for x in ("yaml", "yml", "json")]


def text(value):
    return None if value in (None, "") else str(value)


def domain(auth, whose, versioned):
    def of(key):
        default = None if versioned else auth.get(f"default_domain_{key}")
        return auth.get(f"{whose}_domain_{key}") or default

    if of("id"):
        return {"id": str(of("id"))}
    if of("name"):
        return {"name": str(of("name"))}
    # None is sent. Keystone refuses that, and the `openstack` command sends this.
    return {"id": "default"}


def who(auth, name, whose, ident, versioned):
    if auth.get(ident):
        return {"id": str(auth[ident])}
    if auth.get(name):
        return {"name": str(auth[name]), "domain": domain(auth, whose, versioned)}
    return None


def interface(value):
    values = value if isinstance(value, list) else [value]
    return [str(v).rstrip("URL") for v in values if v] or ["public"]


def credentials(kind, auth):
    """What goes to Keystone, or why that cannot be."""
    versioned = kind.startswith("v3")
    plain = kind.removeprefix("v3")
    out = {"kind": plain, "auth_url": auth.get("auth_url")}
    user = who(auth, "username", "user", "user_id", versioned)
    if plain == "password":
        out |= {"user": user, "secret": text(auth.get("password"))}
    elif plain == "token":
        out |= {"secret": text(auth.get("token"))}
    elif plain == "applicationcredential":
        ident = text(auth.get("application_credential_id"))
        out |= {"id": ident, "secret": text(auth.get("application_credential_secret"))}
        if not ident:
            out |= {"name": text(auth.get("application_credential_name")), "user": user}
    missing = [key for key in ("auth_url", "user", "secret") if key in out and not out[key]]
    # It is of a project. Other scopes are noted, for they are no use to the factory.
    if plain != "applicationcredential":
        out["project"] = who(auth, "project_name", "project", "project_id", versioned)
    scope = [k for k in ("system_scope", "trust_id", "domain_id", "domain_name") if auth.get(k)]
    if scope:
        out["scope"] = scope
    return out, missing


def effective(case, root):
    config = loader.OpenStackConfig(
        config_files=files_of(root, "clouds"),
        secure_files=files_of(root, "secure"),
        vendor_files=files_of(root, "clouds-public"),
    )
    name = case.get("cloud")
    # As the `openstack` command and Ansible's modules do it: the region is an argument.
    region = os.environ.get("OS_REGION_NAME") if name and name != config.envvar_key else None
    one = config.get_one(cloud=name, **({"region_name": region} if region else {}))
    out, missing = credentials(one.config["auth_type"], one.config["auth"])
    if missing:
        return {"refuses": "no login: nothing is said of " + ", ".join(missing)}
    verify, cert = one.get_requests_verify_args()
    cert, key = cert if isinstance(cert, tuple) else (cert, cert)
    out |= {
        "region": text(one.get_region_name()),
        "interface": interface(one.get_interface()),
        "verify": True if verify is None else verify if isinstance(verify, str) and verify else bool(verify),
    }
    if cert:
        out["cert"] = [cert, key]
    for service in SERVICES:
        special = {"url": one.get_endpoint(service)}
        if one.get_region_name(service) != one.get_region_name():
            special["region"] = text(one.get_region_name(service))
        if one.get_interface(service) != one.get_interface():
            special["interface"] = interface(one.get_interface(service))
        special = {k: v for k, v in special.items() if v}
        if special:
            out.setdefault("services", {})[service] = special
    return out


def run(case):
    root = pathlib.Path(tempfile.mkdtemp(prefix="sdk-corpus-"))
    try:
        for name, content in case.get("files", {}).items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        for key in [k for k in os.environ if k.startswith("OS_")]:
            del os.environ[key]
        os.environ["HOME"] = HOME
        os.environ.update({k: v.replace("@", str(root)) for k, v in case.get("env", {}).items()})
        loader.vendors._VENDOR_DEFAULTS.clear()
        try:
            found = effective(case, root)
        except Exception as e:  # whatever it is, it is no login
            found = {"refuses": f"{type(e).__name__}"}
        return json.loads(json.dumps(found, default=str).replace(str(root), "@"))
    finally:
        shutil.rmtree(root)


def main():
    warnings.simplefilter("ignore")
    vendors.requests.get = lambda *_, **__: Fetched()
    out = pathlib.Path(__file__).with_name("golden.jsonl")
    names, lines, accepted = set(), [], 0
    for case in cases.CASES:
        assert case["id"] not in names, case["id"]
        names.add(case["id"])
        case["sdk"] = run(case)
        refused = "refuses" in case["sdk"]
        if refused and case["id"].startswith("chance-"):
            continue  # those that are meant to be refused are among the others
        accepted += not refused
        lines.append(json.dumps(case, ensure_ascii=True, separators=(",", ":")))
    out.write_text("\n".join(lines) + "\n")
    print(f"{len(lines)} cases, {accepted} of them accepted by the SDK", file=sys.stderr)


if __name__ == "__main__":
    main()
