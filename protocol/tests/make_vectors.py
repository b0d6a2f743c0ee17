#!/usr/bin/env python3
"""Makes vectors.json from SPEC.md alone: what the Rust crate is tested against is computed by the second implementation,
verify_certificate.py beside this file, and by the few lines of signing here.

    make_vectors.py > vectors.json
"""

import hashlib
import json
import sys

sys.dont_write_bytecode = True

import verify_certificate as spec

SECRETS = ["693e5aa1ae3ab36c99d0c2bbb393b6fe09067aaf1be44637bc74459cc4a31a87",
           "8fe662a35440ac08acaf1b3400a1b4f2f10bb4aa546a04eb97975cb8ca8548ea",
           "0a690452897ab087303e55b92fc768e319eadab1f56a5ca06c3484ce762a903e",
           "13ddb37c3eac27435010331c93ded1e33971426b6c8a54cce5e1d44215d71984"]
PEERS = ["12D3KooWJhRqZtL8fnexgJ14Ua3ticYH5gDu35ECv2xWa6t4DDzE", "12D3KooWPQbUpXhDhKjPRXxN5Npj2AUayHRD7qhZuhov6Cvo4Wkp",
         "12D3KooWMgF6WUZZ1cqjRdrQFr2tvim2NzQPDtRfRmZB9ZUusLac", "12D3KooWBDdsX4v1A6JBvj9LDj2oEWZDFLfg4Sof3QFjWkk4X16E"]


def H(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


# ---- signing (RFC 8032)

class Key:
    def __init__(self, seed):
        digest = hashlib.sha512(seed).digest()
        self.scalar = int.from_bytes(digest[:32], "little") & (2**254 - 8) | 2**254
        self.prefix = digest[32:]
        self.public = encode(spec.times(self.scalar, spec.BASE))

    def sign(self, message):
        r = int.from_bytes(hashlib.sha512(self.prefix + message).digest(), "little") % spec.L
        point = encode(spec.times(r, spec.BASE))
        k = int.from_bytes(hashlib.sha512(point + self.public + message).digest(), "little") % spec.L
        return point + ((r + k * self.scalar) % spec.L).to_bytes(32, "little")


def encode(point):
    x, y, z, _ = point
    inverse = pow(z, -1, spec.P)
    x, y = x * inverse % spec.P, y * inverse % spec.P
    return (y | (x & 1) << 255).to_bytes(32, "little")


KEYS = [Key(bytes.fromhex(secret)) for secret in SECRETS]


# ---- batches (SPEC section 5)

def root(leaves):
    """The RFC 6962 root over leaf hashes."""
    if len(leaves) < 2:
        return leaves[0] if leaves else H()
    split = 1 << (len(leaves) - 1).bit_length() - 1
    return H(b"\1", root(leaves[:split]), root(leaves[split:]))


def path(index, leaves):
    if len(leaves) < 2:
        return []
    split = 1 << (len(leaves) - 1).bit_length() - 1
    if index < split:
        return path(index, leaves[:split]) + [root(leaves[split:])]
    return path(index - split, leaves[split:]) + [root(leaves[:split])]


def prove(key, federation, kind, statements, index):
    """The precommit object of the statement at `index` of a batch."""
    leaves = [H(b"\0", statement) for statement in statements]
    message = (b"ssid/batch/1\0" + federation + bytes([kind]) + len(leaves).to_bytes(4, "big") + root(leaves))
    return dict(node_id=key.public.hex(), index=index, count=len(leaves),
                path=[sibling.hex() for sibling in path(index, leaves)], signature=key.sign(message).hex())


# ---- what is voted on (SPEC sections 2 to 5)

def event(kind, version, **changes):
    base = dict(timestamp="2025-10-11T20:00:00Z", event=kind, version=version, commit_hash="3dd05d9", blueprint="v4.4",
                root_24_lock="active", compliance_score="100/100", emitted_by="registry_event_trigger.sh")
    return base | changes


def choice(event):
    return (H("|".join(event[field] for field in spec.FIELDS[:5]).encode()),
            H(b"ssid/event/1\0", *(spec.lp(event[field]) for field in spec.FIELDS)))


def subject(event, policies):
    recurs = policies.get(event["event"]) == "recurring"
    return dict(event=event["event"], version=event["version"], occurrence=event["timestamp"] if recurs else "")


def subject_id(federation, subject):
    return H(b"ssid/subject/1\0", federation, *(spec.lp(subject[key]) for key in ("event", "version", "occurrence")))


def vote(epoch, subject, round, phase, ballot):
    return epoch.to_bytes(8, "big") + subject + round.to_bytes(4, "big") + bytes([phase]) + ballot


def certify(genesis, epoch, event, signers):
    """A certificate; signer number i signs it as the last of the first i odd numbers of votes."""
    federation = H(b"ssid/federation/1\0", spec.jcs(genesis))
    what = subject(event, genesis["event_policies"])
    name = subject_id(federation, what)
    precommit = vote(epoch, name, 0, 2, b"\1" + b"".join(choice(event)))
    precommits = []
    for place, key in enumerate(signers):
        others = [vote(epoch, name, later, 1, b"\0") for later in range(1, 2 * place + 1)]
        # the last of three, the first of five
        votes, index = ([precommit] + others, 0) if place == 2 else (others + [precommit], len(others))
        precommits.append(prove(key, federation, 2, votes, index))
    event_hash, digest = choice(event)
    return dict(format="ssid-certificate/1", federation_id=federation.hex(), epoch=epoch, subject=what, round=0,
                choice=dict(event_hash=event_hash.hex(), content_digest=digest.hex()), event=event,
                precommits=precommits)


# ---- manifests (SPEC section 4)

def member(number, **changes):
    base = dict(node_id=KEYS[number].public.hex(), peer_id=PEERS[number], node_name=f"Node-{number}",
                organization=f"Org {number}", role="participant" if number else "coordinator", status="active",
                weight=50, addresses=[f"/ip4/127.0.0.1/tcp/{4001 + number}"], git_remote="", api_endpoint="", keys={})
    return base | changes


GENESIS = dict(format="ssid-federation/1", name="vectors-open", epoch=0, created_at="2025-10-11T20:00:00Z",
               threshold_bp=6600, min_participating_nodes=2, tie_breaking_strategy="timestamp_priority",
               auto_resolve_conflicts=False, vote_weighting="equal", event_policies={"compliance_audit": "recurring"},
               rules={}, members=[member(i, **({"keys": {"chain": "02" + "5a" * 32}} if i == 3 else {})) for i in range(4)])
FEDERATION = H(b"ssid/federation/1\0", spec.jcs(GENESIS))
EVENTS = [event("blueprint_tagged", "v4.4.0"),
          event("compliance_audit", "v4.4.0", timestamp="2025-10-12T08:00:00Z"),
          event("blueprint_tagged", "v4.4.0", commit_hash="79976f01ada4a119644eb6516162ca216e00c3f2",
                emitted_by="überprüft")]


def event_vector(event):
    event_hash, digest = choice(event)
    what = subject(event, GENESIS["event_policies"])
    return dict(event=event, event_hash=event_hash.hex(), content_digest=digest.hex(), occurrence=what["occurrence"],
                subject_id=subject_id(FEDERATION, what).hex())


def vote_bytes():
    ballot = b"".join(choice(EVENTS[0]))
    first = subject_id(FEDERATION, subject(EVENTS[0], {}))
    other = subject_id(FEDERATION, subject(event("blueprint_tagged", "v4.5.0"), {}))
    return dict(observed_prevote=vote(0, first, 0, 1, b"\2" + ballot).hex(),
                precommit=vote(0, first, 0, 2, b"\1" + ballot).hex(), nil_prevote=vote(0, other, 0, 1, b"\0").hex())


def quorum(n, threshold):
    return max(-(-n * threshold // 10000), (n + max(n - 1, 0) // 3) // 2 + 1, 2)


VECTORS = dict(
    secret_keys=SECRETS,
    node_ids=[key.public.hex() for key in KEYS],
    genesis=GENESIS,
    federation_id=FEDERATION.hex(),
    events=[event_vector(event) for event in EVENTS],
    vote_bytes=vote_bytes(),
    certificate=certify(GENESIS, 0, EVENTS[0], KEYS[:3]),
    merkle_roots={str(n): root([H(b"\0", bytes([i])) for i in range(n)]).hex() for n in (0, 1, 2, 3, 5, 8)},
    quorums=[dict(n=n, threshold_bp=bp, quorum=quorum(n, bp)) for bp in (5100, 6600, 6700, 10000)
             for n in (1, 2, 3, 4, 5, 6, 7, 10, 50, 100)],
)

if __name__ == "__main__":
    print(json.dumps(VECTORS, indent=1, ensure_ascii=False))
