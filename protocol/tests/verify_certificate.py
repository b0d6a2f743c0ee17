#!/usr/bin/env python3
"""Verifies SSID federation certificates against a genesis manifest: a second implementation of SPEC.md, sections 2 to
6 and 8, in the standard library alone and independent of the Rust crate. It needs no node and no network.

    verify_certificate.py GENESIS [--epochs FILE] [--pin HASH] CERTIFICATE...

--epochs names a chain file: a line of manifest and certificate for each epoch from 1 on; a certificate may also have
these lines before it. With --pin a chain without the manifest of that hash is refused. One line per certificate says
`valid` or `refused: why`; the exit code is 0 if all are valid.
"""

import argparse
import datetime
import hashlib
import json
import re
import sys
import unicodedata


class Refused(Exception):
    """The document breaks a rule of the specification; the text says which."""


def need(holds, why):
    if not holds:
        raise Refused(why)


# ---- Ed25519, strict (SPEC section 5): affine in, extended homogeneous coordinates (X, Y, Z, T) inside

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
IDENTITY = (0, 1, 1, 0)


def add(a, b):
    (x1, y1, z1, t1), (x2, y2, z2, t2) = a, b
    e, f = (y1 - x1) * (y2 - x2) % P, (y1 + x1) * (y2 + x2) % P
    g, h = 2 * D * t1 * t2 % P, 2 * z1 * z2 % P
    return (f - e) * (h - g) % P, (h + g) * (f + e) % P, (h - g) * (h + g) % P, (f - e) * (f + e) % P


def times(scalar, point):
    total = IDENTITY
    while scalar:
        if scalar & 1:
            total = add(total, point)
        point, scalar = add(point, point), scalar >> 1
    return total


def is_same(a, b):
    return (a[0] * b[2] - b[0] * a[2]) % P == 0 and (a[1] * b[2] - b[1] * a[2]) % P == 0


def point_from(encoded):
    """The point with this canonical encoding, not of small order."""
    number = int.from_bytes(encoded, "little")
    y, sign = number % 2**255, number >> 255
    need(y < P, "point: encoding not canonical")
    xx = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(xx, (P + 3) // 8, P)
    if (x * x - xx) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    need((x * x - xx) % P == 0, "point: not on the curve")
    need(x or not sign, "point: encoding not canonical")
    if x % 2 != sign:
        x = P - x
    point = (x, y, 1, x * y % P)
    need(not is_same(times(8, point), IDENTITY), "point: of small order")
    return point


BASE = point_from((4 * pow(5, -1, P) % P).to_bytes(32, "little"))


def check_signature(key, message, signature):
    r, s = point_from(signature[:32]), int.from_bytes(signature[32:], "little")
    need(s < L, "signature: S not below L")
    k = int.from_bytes(hashlib.sha512(signature[:32] + key + message).digest(), "little") % L
    need(is_same(times(s, BASE), add(r, times(k, point_from(key)))), "signature does not verify")


# ---- strict JSON (SPEC, Notation)

def read_json(data):
    def integer(text):
        need(text.isdigit() and int(text) < 2**53, f"number {text}")
        return int(text)

    def members(pairs):
        result = dict(pairs)
        need(len(result) == len(pairs), "duplicate key")
        need(all(key.isascii() for key in result), "key that is not ASCII")
        return result

    def no_number(text):
        raise Refused(f"number {text}")

    need(len(data) <= 4 * 1024 * 1024, "document too long")
    try:
        value = json.loads(data.decode(), object_pairs_hook=members, parse_int=integer, parse_float=no_number,
                           parse_constant=no_number)
    except (ValueError, RecursionError) as error:
        raise Refused(f"not JSON: {error}") from None
    left, count = [value], 0
    while left:
        item, count = left.pop(), count + 1
        need(item is not None, "null")
        if isinstance(item, str):
            need(not any(0xD800 <= ord(c) < 0xE000 for c in item), "lone surrogate")
        left.extend(item.values() if isinstance(item, dict) else item if isinstance(item, list) else ())
    need(count <= 100_000, "more than 100,000 values")
    return value


def jcs(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def check_shape(value, shape, at="document"):
    """`shape`: a type; a string of |-separated names; a number of hex digits; [shape]; or {key: shape} exactly."""
    if isinstance(shape, dict):
        need(type(value) is dict and value.keys() == shape.keys(), f"{at}: keys must be {', '.join(shape)}")
        for key in shape:
            check_shape(value[key], shape[key], f"{at}.{key}")
    elif isinstance(shape, list):
        need(type(value) is list, f"{at}: no array")
        for index, item in enumerate(value):
            check_shape(item, shape[0], f"{at}[{index}]")
    elif isinstance(shape, int):
        need(type(value) is str and re.fullmatch(f"[0-9a-f]{{{shape}}}", value), f"{at}: no {shape} hex digits")
    elif isinstance(shape, str):
        need(type(value) is str and value in shape.split("|"), f"{at}: none of {shape}")
    else:
        need(type(value) is shape, f"{at}: no {shape.__name__}")


# ---- manifests and quorums (SPEC sections 4, 6)

EVENT_TYPE = "[a-z0-9][a-z0-9_.-]{0,63}"
MEMBER = dict(node_id=64, peer_id=str, node_name=str, organization=str, role="coordinator|participant|observer",
              status="active|inactive|suspended", weight=int, addresses=[str], git_remote=str, api_endpoint=str, keys=dict)
MANIFEST = dict(format="ssid-federation/1", name=str, epoch=int, created_at=str, threshold_bp=int,
                min_participating_nodes=int, vote_weighting="equal|trust",
                tie_breaking_strategy="timestamp_priority|coordinator_priority|trust_weighted|manual_review",
                auto_resolve_conflicts=bool, event_policies=dict, rules=dict, members=[MEMBER])
NAME = "[a-z0-9_.-]{1,32}"


def check_keys(keys):
    need(len(keys) <= 16, "more than 16 keys of a member")
    for purpose, key in keys.items():
        need(re.fullmatch(NAME, purpose), "purpose of a key")
        need(type(key) is str and re.fullmatch("([0-9a-f]{2}){1,128}", key), f"key for {purpose}")


def check_rules(rules):
    """This verifier knows no rule: a manifest that has one is invalid for it."""
    for name in rules:
        raise Refused(f"unknown rule {name}")


CHANGE = dict(previous=64, succeeds=[dict(member=64, former=64)], reason=str)


class Manifest:
    """A valid manifest; `before` are those of the epochs before, genesis first."""

    def __init__(self, value, before=()):
        check_shape(value, MANIFEST | CHANGE if before else MANIFEST)
        self.value, self.jcs, self.epoch, self.policies = value, jcs(value), value["epoch"], value["event_policies"]
        need(self.epoch == len(before), f"epoch must be {len(before)}")
        self.ids = {member["node_id"] for member in value["members"]}
        self.former = {one["former"] for one in value["succeeds"]} if before else set()
        if before:
            self.check_change(value, before)
        for event_type, policy in self.policies.items():
            need(re.fullmatch(EVENT_TYPE, event_type) and policy in ("unique", "recurring"), "event_policies")
        check_rules(value["rules"])
        members = value["members"]
        need(len(members) <= 1000, "more than 1000 members")
        for key in ("node_id", "peer_id"):
            need(len({member[key] for member in members}) == len(members), f"{key} not distinct")
        for member in members:
            point_from(bytes.fromhex(member["node_id"]))
            need(member["peer_id"], "empty peer_id")
            need(1 <= member["weight"] <= 100, "weight")
            check_keys(member["keys"])
        voters = [m for m in members if m["status"] == "active" and m["role"] != "observer"]
        equal = value["vote_weighting"] == "equal"
        self.weights = {voter["node_id"]: 1 if equal else voter["weight"] for voter in voters}
        total, self.min_signers = sum(self.weights.values()), value["min_participating_nodes"]
        faulty, threshold = max(total - 1, 0) // 3, value["threshold_bp"]
        self.quorum = max(-(-total * threshold // 10000), (total + faulty) // 2 + 1, self.min_signers)
        need(1 <= threshold <= 10000, "threshold_bp")
        need(2 <= self.min_signers <= len(voters), "min_participating_nodes")
        need(any(voter["role"] == "coordinator" for voter in voters), "no coordinator among the voters")
        need(self.quorum <= total, "quorum above all votes")
        need(equal or len(voters) < 4 or max(self.weights.values()) <= faulty, "a voter's weight above F")

    def check_change(self, value, before):
        """SPEC section 4: what a manifest must keep towards those before it."""
        last = before[-1]
        need(self.policies == before[0].policies, "event_policies must be those of genesis")
        need(value["previous"] == last.hash().hexdigest(), "previous")
        check_timestamp(value["created_at"])
        need(1 <= len(value["reason"].encode()) <= 512 and no_control(value["reason"]), "reason")
        for one in value["succeeds"]:
            need(one["former"] in last.ids and one["former"] not in self.ids, "succeeds: former")
            need(one["member"] in self.ids and one["member"] not in last.ids, "succeeds: member")
        named = [one[key] for one in value["succeeds"] for key in ("member", "former")]
        need(len(set(named)) == len(named), "succeeds: an id twice")
        need(not any(self.ids & manifest.former for manifest in before), "a key that was replaced")
        need(len(self.jcs) <= 1_000_000, "manifest too long")

    def event(self):
        """The federation_epoch event that brings it in."""
        return dict(timestamp=self.value["created_at"], event="federation_epoch", version=str(self.epoch),
                    commit_hash=self.hash().hexdigest(), blueprint=f"v{self.epoch}", root_24_lock="",
                    compliance_score="", emitted_by="ssid")

    def federation_id(self):
        return hashlib.sha256(b"ssid/federation/1\0" + self.jcs)

    def hash(self):
        return hashlib.sha256(b"ssid/epoch/1\0" + self.jcs)


# ---- events, subjects, votes (SPEC sections 2, 3, 5)

FIELDS = "timestamp event version commit_hash blueprint root_24_lock compliance_score emitted_by".split()


def lp(text):
    return len(text.encode()).to_bytes(4, "big") + text.encode()


def no_control(text):
    return "Cc" not in map(unicodedata.category, text)


def check_timestamp(text):
    timestamp = re.fullmatch(r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})(\.[0-9]{1,9})?Z", text)
    need(timestamp, "timestamp")
    try:
        datetime.datetime.strptime(timestamp[1], "%Y-%m-%dT%H:%M:%S")
    except ValueError:
        raise Refused("timestamp") from None
    need(timestamp[1][17:] < "60", "timestamp")


def check_admissible(event, epoch):
    check_timestamp(event["timestamp"])
    for field, rule in [("event", EVENT_TYPE), ("version", r"[ -{}~]{1,64}"), ("commit_hash", "[0-9a-f]{7,64}"),
                        ("blueprint", r"(?=.{1,64}\Z)v[0-9]+(\.[0-9]+)*")]:
        need(re.fullmatch(rule, event[field]), field)
    for field in FIELDS[5:]:
        need(len(event[field].encode()) <= 256 and no_control(event[field]), field)
    if event["event"] == "federation_epoch":
        follows = dict(version=str(epoch + 1), blueprint=f"v{epoch + 1}", root_24_lock="", compliance_score="",
                       emitted_by="ssid")
        need(all(event[field] == value for field, value in follows.items()) and len(event["commit_hash"]) == 64,
             "federation_epoch")
    else:
        need(not event["event"].startswith("federation_"), "a type that no rule of the manifest defines")


def root_of(leaf, index, count, path):
    """RFC 9162, section 2.1.3.2."""
    node, last, digest = index, count - 1, hashlib.sha256(b"\0" + leaf).digest()
    for sibling in path:
        need(last, "path too long")
        if node % 2 or node == last:
            digest = hashlib.sha256(b"\1" + sibling + digest).digest()
            while node % 2 == 0 and node:
                node, last = node >> 1, last >> 1
        else:
            digest = hashlib.sha256(b"\1" + digest + sibling).digest()
        node, last = node >> 1, last >> 1
    need(last == 0, "path too short")
    return digest


# ---- certificates (SPEC section 8)

CERTIFICATE = dict(format="ssid-certificate/1", federation_id=64, epoch=int,
                   subject=dict(event=str, version=str, occurrence=str), round=int,
                   choice=dict(event_hash=64, content_digest=64), event=dict.fromkeys(FIELDS, str),
                   precommits=[dict(node_id=64, index=int, count=int, path=[64], signature=128)])


def check_certificate(value, manifests):
    """Refuses the certificate, by the manifest of its own epoch, or returns its event."""
    check_shape(value, CERTIFICATE)
    event, subject, choice, epoch = value["event"], value["subject"], value["choice"], value["epoch"]
    genesis, federation = manifests[0], manifests[0].federation_id()
    need(value["federation_id"] == federation.hexdigest(), "federation_id")
    need(epoch < len(manifests), f"no manifest of epoch {epoch}")
    manifest = manifests[epoch]
    need(value["round"] < 2**32, "round")
    check_admissible(event, epoch)
    event_hash = hashlib.sha256("|".join(event[field] for field in FIELDS[:5]).encode())
    digest = hashlib.sha256(b"ssid/event/1\0" + b"".join(lp(event[field]) for field in FIELDS))
    need(choice == dict(event_hash=event_hash.hexdigest(), content_digest=digest.hexdigest()), "choice")
    recurs = event["event"] != "federation_epoch" and genesis.policies.get(event["event"]) == "recurring"
    occurrence = event["timestamp"] if recurs else ""
    need(subject == dict(event=event["event"], version=event["version"], occurrence=occurrence), "subject")
    subject_id = hashlib.sha256(b"ssid/subject/1\0" + federation.digest() + lp(event["event"]) + lp(event["version"])
                                + lp(occurrence))
    leaf = (epoch.to_bytes(8, "big") + subject_id.digest() + value["round"].to_bytes(4, "big") + b"\2\1"
            + event_hash.digest() + digest.digest())
    signers = [precommit["node_id"] for precommit in value["precommits"]]
    need(len(set(signers)) == len(signers), "a signer counted twice")
    need(all(signer in manifest.weights for signer in signers), "a signer is no voter")
    need(len(signers) >= manifest.min_signers, "too few signers")
    need(sum(manifest.weights[signer] for signer in signers) >= manifest.quorum, "weight below the quorum")
    for precommit in value["precommits"]:
        index, count = precommit["index"], precommit["count"]
        need(1 <= count <= 4096 and index < count, "index or count out of bounds")
        root = root_of(leaf, index, count, [bytes.fromhex(sibling) for sibling in precommit["path"]])
        message = b"ssid/batch/1\0" + federation.digest() + b"\2" + count.to_bytes(4, "big") + root
        check_signature(bytes.fromhex(precommit["node_id"]), message, bytes.fromhex(precommit["signature"]))
    return event


# ---- the chain of epochs (SPEC section 4)

def extend(manifests, link):
    """Proves the manifest of the next epoch and adds it."""
    check_shape(link, dict(manifest=dict, certificate=dict))
    manifest = Manifest(link["manifest"], manifests)
    need(link["certificate"].get("epoch") == len(manifests) - 1, "the certificate of another epoch")
    need(check_certificate(link["certificate"], manifests) == manifest.event(), "the certificate of another manifest")
    manifests.append(manifest)


def lines(data):
    return [read_json(line) for line in data.removesuffix(b"\n").split(b"\n")] if data else []


def read_certificate(data, manifests):
    """The certificate of a document, and the manifests with those of the links before it, if there are any."""
    try:
        first = read_json(data.split(b"\n")[0])
    except Refused:
        first = None
    if type(first) is not dict or "certificate" not in first:
        return read_json(data), manifests
    *links, last = lines(data)
    check_shape(last, dict(certificate=dict))
    own = manifests[:1]
    for link in links:
        extend(own, link)
    need(all(one.jcs == other.jcs for one, other in zip(own, manifests)), "two chains that contradict each other")
    return last["certificate"], max(own, manifests, key=len)


def check_pin(manifests, pin):
    need(pin is None or any(manifest.hash().hexdigest() == pin for manifest in manifests), "no manifest is the pinned one")


# ---- set trees, cards, hand-overs (SPEC section 4)

def set_root(entries, depth=0):
    """Of entries in order; each begins with its subject id."""
    if len(entries) <= 32:
        return hashlib.sha256(b"ssid/set/1\0\0" + b"".join(entries)).digest()
    parts = [[] for _ in range(16)]
    for entry in entries:
        parts[int(entry[:32].hex()[depth], 16)].append(entry)
    return hashlib.sha256(b"ssid/set/1\0\1" + b"".join(set_root(part, depth + 1) for part in parts)).digest()


def card_message(card):
    return b"ssid/card/1\0" + jcs({key: value for key, value in card.items() if key != "signature"})


def handover_message(handover):
    card = jcs({key: value for key, value in handover["card"].items() if key != "signature"})
    return (b"ssid/handover/1\0" + bytes.fromhex(handover["federation_id"] + handover["previous"] + handover["former"])
            + card)


def check_card(card):
    check_shape(card, MEMBER | dict(signature=128))
    check_keys(card["keys"])
    check_signature(bytes.fromhex(card["node_id"]), card_message(card), bytes.fromhex(card["signature"]))


def check_handover(handover, federation, in_force):
    """`in_force`: the hash of the manifest under which it must have been signed."""
    check_shape(handover, dict(format="ssid-handover/1", federation_id=64, previous=64, former=64, card=dict,
                               signature=128))
    check_shape(handover["card"], MEMBER | dict(signature=128))
    need(handover["federation_id"] == federation.hex() and handover["previous"] == in_force.hex(), "previous")
    need(handover["former"] != handover["card"]["node_id"], "a key that follows itself")
    check_card(handover["card"])
    check_signature(bytes.fromhex(handover["former"]), handover_message(handover), bytes.fromhex(handover["signature"]))


def file(path):
    with open(path, "rb") as opened:
        return opened.read()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("genesis")
    parser.add_argument("certificates", nargs="+", metavar="certificate")
    parser.add_argument("--epochs", metavar="FILE")
    parser.add_argument("--pin", metavar="HASH")
    arguments = parser.parse_args()
    try:
        manifests = [Manifest(read_json(file(arguments.genesis)))]
        for link in lines(file(arguments.epochs)) if arguments.epochs else []:
            extend(manifests, link)
    except Refused as why:
        sys.exit(f"manifests refused: {why}")
    all_valid = True
    for path in arguments.certificates:
        try:
            certificate, proven = read_certificate(file(path), manifests)
            check_pin(proven, arguments.pin)
            check_certificate(certificate, proven)
            print(f"{path}: valid")
        except Refused as why:
            all_valid = False
            print(f"{path}: refused: {why}")
    sys.exit(0 if all_valid else 1)


if __name__ == "__main__":
    main()
