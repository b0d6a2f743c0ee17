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


SECRETS.append(H(b"the key that replaces that of node 1").hex())
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
    base = dict(node_id=KEYS[number].public.hex(), peer_id=PEERS[number % 4], node_name=f"Node-{number}",
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


# ---- later epochs (SPEC section 4)

def successor(previous, **changes):
    base = dict(previous, epoch=previous["epoch"] + 1, previous=manifest_hash(previous).hex(), succeeds=[],
                created_at=f"2026-0{previous['epoch'] + 1}-01T09:30:00.5Z", reason="as agreed on 2025-12-19")
    return base | changes


def manifest_hash(manifest):
    return H(b"ssid/epoch/1\0", spec.jcs(manifest))


def epoch_event(manifest):
    version = str(manifest["epoch"])
    return dict(timestamp=manifest["created_at"], event="federation_epoch", version=version,
                commit_hash=manifest_hash(manifest).hex(), blueprint="v" + version, root_24_lock="",
                compliance_score="", emitted_by="ssid")


def link(before, manifest, signers):
    return dict(manifest=manifest, certificate=certify(GENESIS, before["epoch"], epoch_event(manifest), signers))


MEMBERS = GENESIS["members"]
ROTATED = [MEMBERS[0], member(4, peer_id=PEERS[1]), MEMBERS[2], MEMBERS[3] | dict(status="suspended")]
FIRST = successor(GENESIS, members=MEMBERS[:3] + [MEMBERS[3] | dict(status="suspended")],
                  reason="Org 3 läßt ruhen – until spring")
SECOND = successor(FIRST, members=ROTATED, reason="Org 1 gives a new key",
                   succeeds=[dict(member=KEYS[4].public.hex(), former=KEYS[1].public.hex())])
THIRD = successor(SECOND, members=ROTATED[:3] + [MEMBERS[3]], threshold_bp=7000)
CHAIN = [link(GENESIS, FIRST, KEYS[:3]), link(FIRST, SECOND, [KEYS[0], KEYS[2]]),
         link(SECOND, THIRD, [KEYS[0], KEYS[2], KEYS[4]])]


def proven(epochs):
    manifests = [spec.Manifest(GENESIS)]
    for one in CHAIN[:epochs]:
        spec.extend(manifests, one)
    return manifests


# ---- cards, hand-overs, closes, readiness, sets (SPEC sections 4, 5)

def card(key, member):
    return member | dict(signature=key.sign(spec.card_message(member)).hex())


def handover(former, card, federation=FEDERATION, previous=manifest_hash(FIRST)):
    unsigned = dict(format="ssid-handover/1", federation_id=federation.hex(), previous=previous.hex(),
                    former=former.public.hex(), card=card)
    return unsigned | dict(signature=former.sign(spec.handover_message(unsigned)).hex())


CARD = card(KEYS[4], ROTATED[1] | dict(keys={"chain": "02" + "6b" * 32, "commit": "0f"}))
HANDOVER = handover(KEYS[1], CARD)


def invite():
    """To the federation in its second epoch after genesis, with the third proposed."""
    named = ["node_id", "peer_id", "node_name", "addresses"]
    peers = [{key: member[key] for key in named} for member in SECOND["members"]]
    return dict(format="ssid-invite/1", federation_id=FEDERATION.hex(), genesis=GENESIS, epoch=2,
                manifest_hash=manifest_hash(SECOND).hex(), proposal=[manifest_hash(THIRD).hex()], peers=peers)


def invalid_invites():
    """Each as what stands in the place of keys of the valid one."""
    one = invite()
    peer, others = one["peers"][0], one["peers"][1:]

    def peers(why, *changed):
        return why, dict(peers=list(changed))

    return [dict(why=why, changed=changed) for why, changed in [
        ("of another federation", dict(federation_id="00" * 32)),
        ("a genesis manifest that is changed", dict(genesis=GENESIS | dict(threshold_bp=6700))),
        ("epoch 0 with the manifest of another", dict(epoch=0)),
        ("two proposals", dict(proposal=one["proposal"] * 2)),
        ("another format", dict(format="ssid-invite/2")),
        ("one key more", dict(more=1)),
        peers("nobody to ask"),
        peers("more peers than 16", *one["peers"] * 6),
        peers("one peer twice", peer, peer, *others),
        peers("a peer without `addresses`", {key: value for key, value in peer.items() if key != "addresses"}),
        peers("a peer with a role", peer | dict(role="participant")),
        peers("a peer with an address of 257 bytes", peer | dict(addresses=["x" * 257])),
        peers("a peer with seventeen addresses", peer | dict(addresses=["/ip4/1.2.3.4/tcp/1"] * 17)),
        peers("a peer whose key is of small order", peer | dict(node_id="01" + "00" * 31)),
    ]]


def u64(number):
    return number.to_bytes(8, "big")


def certified_entry(i):
    return b"".join(H(f"{letter}{i}".encode()) for letter in "shd")


def crowded_entry(i):
    """All of these share the first ten digits of their subject ids."""
    return b"\xab" * 5 + certified_entry(i)[5:]


def lock_entry(i):
    return H(f"s{i}".encode()) + u64(i % 3) + (i % 5).to_bytes(4, "big") + H(f"h{i}".encode()) + H(f"d{i}".encode())


def set_vector(kind, entry, count):
    return dict(entries=kind, count=count, root=spec.set_root(sorted(map(entry, range(count)))).hex())


SETS = ([set_vector("certified", certified_entry, count) for count in (0, 1, 32, 33, 1000)]
        + [set_vector("crowded", crowded_entry, 33)] + [set_vector("locks", lock_entry, count) for count in (1, 40)])


def signed_leaf(kind, key, leaf, **statement):
    proof = prove(key, FEDERATION, kind, [leaf], 0)
    return dict(statement, leaf=leaf.hex(), signer=proof["node_id"], signature=proof["signature"])


def close():
    certified, locks = SETS[4], SETS[7]
    roots = [bytes.fromhex(one["root"]) for one in (certified, locks)]
    leaf = u64(0) + manifest_hash(FIRST) + u64(1000) + roots[0] + u64(40) + roots[1]
    return signed_leaf(5, KEYS[0], leaf, epoch=0, next=manifest_hash(FIRST).hex(), certified_count=1000,
                       certified_root=certified["root"], locks_count=40, locks_root=locks["root"])


def ready():
    at = 1767261600123
    leaf = u64(2) + manifest_hash(SECOND) + u64(at)
    return signed_leaf(6, KEYS[4], leaf, epoch=2, manifest=manifest_hash(SECOND).hex(), at=at)


# ---- what must be refused, and why

def refused(name, check, cases):
    """The cases, each of which the verifier refuses; a case is (why, value) or (why, after, value)."""
    result = []
    for why, *after, value in cases:
        try:
            check(*after, value)
        except spec.Refused:
            result.append(dict(why=why, **({"after": after[0]} if after else {}), **{name: value}))
        else:
            raise AssertionError(f"valid: {why}")
    return result


def invalid_manifests():
    """Each as the one after so many epochs."""
    former, new = KEYS[1].public.hex(), KEYS[4].public.hex()

    def of_member(base, number, **changes):
        members = list(base["members"])
        members[number] = members[number] | changes
        return base | dict(members=members)

    def with_keys(keys):
        return of_member(SECOND, 0, keys=keys)

    return refused("manifest", lambda after, manifest: spec.Manifest(manifest, proven(after)), [
        ("another epoch", 1, SECOND | dict(epoch=3)),
        ("`previous` of an earlier epoch", 1, SECOND | dict(previous=manifest_hash(GENESIS).hex())),
        ("without `previous`", 1, {key: value for key, value in SECOND.items() if key != "previous"}),
        ("other policies than genesis", 1, SECOND | dict(event_policies={})),
        ("created_at is no timestamp", 1, SECOND | dict(created_at="2026-02-01")),
        ("empty reason", 1, SECOND | dict(reason="")),
        ("reason of 513 bytes", 1, SECOND | dict(reason="r" * 511 + "é")),
        ("control character in the reason", 1, SECOND | dict(reason="a\u0085b")),
        ("former was no member", 1, SECOND | dict(succeeds=[dict(member=new, former="00" * 32)])),
        ("former is a member still", 1, SECOND | dict(succeeds=[dict(member=new, former=MEMBERS[0]["node_id"])])),
        ("successor was a member", 1, SECOND | dict(succeeds=[dict(member=MEMBERS[0]["node_id"], former=former)])),
        ("an id twice", 1, SECOND | dict(succeeds=SECOND["succeeds"] * 2)),
        ("a replaced key returns", 2, of_member(THIRD, 3, node_id=former)),
        ("a rule that nobody knows", 1, SECOND | dict(rules={"scores": {"version": 1}})),
        ("17 keys", 1, with_keys({f"k{i}": "00" for i in range(17)})),
        ("key of 258 digits", 1, with_keys({"chain": "00" * 129})),
        ("key of an odd number of digits", 1, with_keys({"chain": "000"})),
        ("upper-case key", 1, with_keys({"chain": "0A"})),
        ("purpose with a space", 1, with_keys({"my chain": "00"})),
        ("purpose of 33 characters", 1, with_keys({"p" * 33: "00"})),
        ("more signers needed than there are voters", 1, SECOND | dict(min_participating_nodes=4)),
        ("genesis once more", 0, GENESIS),
        ("epoch 0 with what later epochs have", 0, FIRST | dict(epoch=0)),
    ])


def invalid_links():
    """Each as the one after so many epochs."""
    other = epoch_event(SECOND) | dict(timestamp="2026-02-01T09:30:00Z")
    voters = [KEYS[0], KEYS[2]]
    return refused("link", lambda after, one: spec.extend(proven(after), one), [
        ("signed by voters of the next epoch", 1, link(FIRST, SECOND, [KEYS[0], KEYS[4]])),
        ("signed by a voter of the epoch before", 1, link(FIRST, SECOND, [KEYS[0], KEYS[3]])),
        ("certificate of the epoch before", 1, dict(manifest=SECOND, certificate=CHAIN[0]["certificate"])),
        ("certificate of epoch 0 for epoch 2", 1, link(GENESIS, SECOND, KEYS[:3])),
        ("certificate of this manifest at another time", 1,
         dict(manifest=SECOND, certificate=certify(GENESIS, 1, other, voters))),
        ("certificate of something else", 1,
         dict(manifest=SECOND, certificate=certify(GENESIS, 1, EVENTS[0], voters))),
        ("manifest changed after it was certified", 1, CHAIN[1] | dict(manifest=SECOND | dict(name="other"))),
        ("one epoch left out", 0, CHAIN[1]),
        ("one epoch twice", 2, CHAIN[1]),
        ("too few signers", 2, link(SECOND, THIRD, [KEYS[0]])),
        ("more than a link", 1, CHAIN[1] | dict(more=1)),
    ])


def invalid_certificates():
    """Each checked by the chain of three epochs."""
    second = [KEYS[0], KEYS[4]]

    def of_event(event):
        return certify(GENESIS, 2, event, second)

    return refused("certificate", lambda certificate: spec.check_certificate(certificate, proven(3)), [
        ("signed by voters of an earlier epoch", certify(GENESIS, 2, EVENTS[0], KEYS[:2])),
        ("signed by voters of a later epoch", certify(GENESIS, 1, EVENTS[0], second)),
        ("a quorum of two, where three are needed", certify(GENESIS, 3, EVENTS[0], second)),
        ("of an epoch that the chain does not reach", certify(GENESIS, 4, EVENTS[0], KEYS[2:])),
        ("named of another epoch", of_event(EVENTS[0]) | dict(epoch=3)),
        ("a type that no rule defines", of_event(event("federation_score", "1"))),
        ("an epoch event with another blueprint", of_event(epoch_event(THIRD) | dict(blueprint="v4.4"))),
        ("an epoch event with a compliance score", of_event(epoch_event(THIRD) | dict(compliance_score="1"))),
        ("an epoch event that another tool wrote", of_event(epoch_event(THIRD) | dict(emitted_by="SSID"))),
        ("the epoch event of another epoch", of_event(epoch_event(SECOND))),
    ])


def invalid_cards():
    return refused("card", spec.check_card, [
        ("changed after it was signed", CARD | dict(organization="another")),
        ("another key's signature", card(KEYS[1], {key: CARD[key] for key in spec.MEMBER})),
        ("without `keys`", {key: value for key, value in CARD.items() if key != "keys"}),
    ])


def invalid_handovers():
    own = card(KEYS[1], MEMBERS[1])
    by_new = KEYS[4].sign(spec.handover_message(HANDOVER)).hex()
    return refused("handover", lambda one: spec.check_handover(one, FEDERATION, manifest_hash(FIRST)), [
        ("signed under another manifest", handover(KEYS[1], CARD, previous=manifest_hash(GENESIS))),
        ("of another federation", handover(KEYS[1], CARD, federation=bytes(32))),
        ("signed by the new key", HANDOVER | dict(signature=by_new)),
        ("card of another key", HANDOVER | dict(card=own)),
        ("a key that follows itself", handover(KEYS[1], own)),
        ("card not signed by its key", handover(KEYS[1], CARD | dict(signature="00" * 64))),
    ])


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
    epochs=[dict(one, hash=manifest_hash(one["manifest"]).hex(), event=epoch_event(one["manifest"])) for one in CHAIN],
    certificate_of_epoch_2=certify(GENESIS, 2, EVENTS[0], [KEYS[0], KEYS[4]]),
    card=CARD,
    handover=HANDOVER,
    sets=SETS,
    close=close(),
    ready=ready(),
    invalid_manifests=invalid_manifests(),
    invalid_links=invalid_links(),
    invalid_certificates=invalid_certificates(),
    invalid_cards=invalid_cards(),
    invalid_handovers=invalid_handovers(),
    invite=invite(),
    invalid_invites=invalid_invites(),
)
# what is valid is so for the verifier too
spec.check_certificate(VECTORS["certificate_of_epoch_2"], proven(3))
spec.check_card(CARD)
spec.check_handover(HANDOVER, FEDERATION, manifest_hash(FIRST))

if __name__ == "__main__":
    print(json.dumps(VECTORS, indent=1, ensure_ascii=False))
