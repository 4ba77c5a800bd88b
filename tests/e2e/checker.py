"""checker.py - counts again what a run has counted, from its ledger and its clients' notes alone.

It shares no code with the daemon: formats come from docs/state.md and docs/protocol.md, arithmetic
from the rules in the spec. Sums are Python integers, so nothing can overflow; a double is Python's
own float; fp32 is what struct packs. Values are handled as their 32 bits, so that -0.0 is not 0.0,
and equal columns of bits are computed once, which makes a megabyte affordable.
"""
import hashlib
import json
import math
import pathlib
import re
import struct
import threading
import zlib
from fractions import Fraction


class Broken(AssertionError):
    """A promise of the daemon does not hold."""


def require(condition, *what):
    if not condition:
        raise Broken(" ".join(str(word) for word in what))


def sha256(data):
    return hashlib.sha256(data).hexdigest()


# --- what the clients know ---------------------------------------------------------------------


class Sent:
    """One update: what was sent under its id, always the same, and every answer to it."""

    def __init__(self, client, update, body, base, examples):
        self.client, self.update, self.body = client, update, body
        self.base, self.examples = base, examples
        self.answers = []  # (status, document)

    def acknowledgements(self):
        return [document for status, document in self.answers if status // 100 == 2]


class Combined:
    """What an external combiner sent for a version, and the updates it was offered for it."""

    def __init__(self, body, updates):
        self.body, self.updates = body, updates
        self.answers = []  # digests of the version, one for each 200


class Journal:
    """Notes of all clients of a run; a note is made before the first byte is sent."""

    def __init__(self):
        self.lock = threading.Lock()
        self.updates = {}  # (client, id) -> Sent
        self.evaluations = {}  # (client, id) -> [document, is acknowledged]
        self.combined = {}  # (version, digest of what a combiner sent for it) -> Combined
        self.versions = {}  # number -> digest that was seen
        self.newest = -1  # version that anybody has seen

    def send(self, client, update, body, base, examples):
        with self.lock:
            require((client, update) not in self.updates, "the test reuses", client, update)
            sent = self.updates[client, update] = Sent(client, update, body, base, examples)
        return sent

    def combine(self, version, body, updates):
        with self.lock:
            key = version, sha256(body)
            return self.combined.setdefault(key, Combined(body, updates))

    def evaluate(self, client, evaluation, document):
        with self.lock:
            note = self.evaluations[client, evaluation] = [document, False]
        return note

    def saw(self, version, digest, newest_before):
        """newest_before: self.newest when the question was asked; time does not run backwards."""
        with self.lock:
            known = self.versions.setdefault(version, digest)
            require(known == digest, "version", version, "was", known, "and now is", digest)
            require(version >= newest_before, "version", version, "after", newest_before)
            self.newest = max(self.newest, version)


# --- the ledger --------------------------------------------------------------------------------


class Record:
    def __init__(self, text, digest):
        self.text = text  # bytes
        self.digest = digest  # claimed, hex
        self.document = json.loads(text)
        self.type = self.document["type"]


def ledger_from_lines(body):
    """Records of GET .../ledger; the record's own text is taken as it stands in the line."""
    records = []
    for line in body.splitlines():
        whole = json.loads(line)
        head, text = line.split(b'"record":', 1)
        require(whole["index"] == len(records), "index", whole["index"], "at", len(records))
        previous = records[-1].digest if records else None
        require(previous in (None, whole["previous"]), "record", len(records), "has a false past")
        require(b'"previous"' in head and text.endswith(b"}"), "a strange line:", line[:200])
        records.append(Record(text[:-1], whole["digest"]))
    return records


def ledger_from_file(path):
    """Records of the file itself: journal framing and checksums of docs/state.md section 1."""
    data = pathlib.Path(path).read_bytes()
    magic, form, about_bytes, salt = struct.unpack_from("<8sIIQ", data)
    require((magic, form) == (b"TRIBLEDG", 1), "header", magic, form)
    at = 24 + about_bytes
    require(zlib.crc32(data[:at]) == struct.unpack_from("<I", data, at)[0], "header checksum")
    at += 4
    records = []
    while at < len(data):
        own, kind, count, synced, body_crc, crc = struct.unpack_from("<QIIQII", data, at)
        require((own, kind) == (salt, 1) and synced <= at, "record head at", at)
        require(zlib.crc32(data[at:at + 28]) == crc, "record head checksum at", at)
        payload = data[at + 32:at + 32 + count]
        require(len(payload) == count and zlib.crc32(payload) == body_crc, "record at", at)
        records.append(Record(payload[:-32], payload[-32:].hex()))
        at += 32 + count
    return records


def check_chain(name, records):
    digest = hashlib.sha256(b"tributary ledger 1\n" + name.encode()).digest()
    for index, record in enumerate(records):
        digest = hashlib.sha256(digest + record.text).digest()
        require(record.digest == digest.hex(), "record", index, "does not continue the chain")


# --- weights and fates -------------------------------------------------------------------------


class Rulebook:
    """The rules of each version: those of the first record, then of each revision."""

    def __init__(self, records):
        require(records[0].type == "run", "the first record is", records[0].type)
        self.rules = [(0, Rules(records[0].document["spec"]))]
        newest = 0
        for record in records:
            if record.type == "version":
                newest = record.document["version"]
            elif record.type == "revision":
                first = record.document["version"]
                require(first > newest, "a revision of version", first, "after version", newest)
                self.rules.append((first, Rules(record.document["spec"])))

    def at(self, version):
        """The newest of them that holds by then: one may be replaced before it does."""
        return next(rules for first, rules in reversed(self.rules) if first <= version)


class Rules:
    """What one spec says about weights and sums."""

    def __init__(self, spec):
        self.spec = spec
        strategy = self.strategy = spec["strategy"]
        self.is_mixing = "alpha" in strategy  # fedasync: an update pulls towards its base, too
        self.has_models = "tick" in strategy and "fraction" in strategy  # favano, s2s: means of models
        self.is_combined = strategy.get("combiner") == "external"  # a version is made of one delta
        self.is_equal = strategy.get("weights", "equal") == "equal"
        self.attribute = strategy.get("weight_attribute")
        self.share_max = strategy.get("weight_share_max", 1.0)
        self.largest = 1 if self.is_equal else strategy["weight_max"]  # of a fresh update
        self.unit_bits = 24 if self.is_mixing else 0
        if not self.is_mixing and strategy["staleness"] not in ("constant", "linear"):
            while self.unit_bits < 16 and self.largest << self.unit_bits + 1 <= 1 << 29:
                self.unit_bits += 1
        self.weight_max = max(self.weight(self.largest, staleness)
                              for staleness in range(strategy["staleness_max"] + 1))
        if self.is_mixing:
            self.weight_max = 1 << self.unit_bits  # a share of at most 1

    def staleness_weight(self, staleness):
        kind = self.strategy["staleness"]
        if kind == "constant":
            return 1.0
        if kind == "linear":
            return 1.0 + staleness
        a = self.strategy["staleness_a"]
        if kind == "polynomial":
            return (1.0 + staleness) ** -a
        b = self.strategy["staleness_b"]
        return 1.0 if staleness <= b else 1.0 / (a * (staleness - b) + 1)

    def mass(self, element, attributes):
        """What an update weighs when fresh: examples, or the attribute of its client."""
        if self.attribute is None:
            return element["examples"]
        return int(attributes[element["client"]][self.attribute])

    def capped(self, weights):
        """[(client, weight)] of a version's updates -> the weights that they count with."""
        totals = {}
        for client, weight in weights:
            totals[client] = totals.get(client, 0) + weight
        share = Fraction(int(self.share_max * 2 ** 20), 2 ** 20)

        def is_fair(cap):
            heights = [min(total, cap) for total in totals.values()]
            return max(heights) <= share * sum(heights)

        low, high = min(totals.values()), max(totals.values())
        if share * len(totals) >= 1:  # else nobody can keep within it, and all weigh the same
            while low < high:  # the largest fair cap: the more it cuts, the fairer
                middle = (low + high + 1) // 2
                low, high = (middle, high) if is_fair(middle) else (low, middle - 1)
        return [weight if totals[client] <= low else max(weight * low // totals[client], 1)
                for client, weight in weights]

    def weight(self, examples, staleness):
        fresh = self.strategy["alpha"] if self.is_mixing else 1.0
        share = fresh * self.staleness_weight(staleness)
        # C's lround goes away from zero at the half, and nothing here is negative.
        units = math.floor(math.ldexp(share, self.unit_bits) + 0.5)
        if self.is_mixing and not self.is_equal:
            return math.floor(units * (examples / self.largest) + 0.5)  # a part of the share
        return units * (1 if self.is_equal else examples)

    def shift(self, delta_max):
        """F of a tensor: the finest for which no term and no sum can leave its range."""
        total_max = self.strategy.get("weight_total_max", 1) << self.unit_bits
        weight_max = self.weight_max
        if self.is_combined:
            weight_max = total_max = 1
        bound = Fraction(delta_max)
        shift = 127
        while (weight_max * bound * Fraction(2) ** shift > 2 ** 51 or
               total_max * bound * Fraction(2) ** shift >= 2 ** 62):
            shift -= 1
        return shift

    def divisor(self, weights):
        """What the sum of updates with these weights is divided by, in units of weight."""
        if self.is_combined:
            return 1.0
        divide = self.strategy.get("divide", "none" if self.is_mixing else "weight")
        if divide in ("weight", "both"):  # both: the version before counts as one more update
            return float(sum(weights)) + (1 << self.unit_bits if divide == "both" else 0)
        count = 1 if divide == "none" else max(self.strategy["goal"], len(weights))
        return float(count << self.unit_bits)


def check_settled(rules, journal, element, version, attributes):
    """What a record counts or drops was sent, just so, and has the weight of the rule."""
    key = element["client"], element["update"]
    require(key in journal.updates, key, "was never sent")
    sent = journal.updates[key]
    require(element["digest"] == sha256(sent.body), key, "has another body")
    require((element["base"], element["examples"]) == (sent.base, sent.examples),
            key, "base and examples differ:", element)
    weight = rules.weight(rules.mass(element, attributes), element["staleness"])
    require(element["weight"] == weight or (rules.share_max < 1 and 0 < element["weight"] < weight),
            key, "weighs", element["weight"], "and not", weight)
    if version is not None:
        require(element["staleness"] == version - 1 - sent.base,
                key, "staleness in", version, element)
    return key


def check_combined(journal, document):
    """The version was made of what was sent for these very updates, and whoever sent it was told so."""
    version, digest = document["version"], document["combined"]["digest"]
    require((version, digest) in journal.combined, "nobody sent", digest, "for version", version)
    offered = journal.combined[version, digest].updates
    for field in ("client", "update", "base", "staleness", "weight", "examples", "digest"):
        require([e[field] for e in document["updates"]] == [e[field] for e in offered],
                "version", version, "was combined of", offered, "and lists", document["updates"])
    for (other_version, other), combined in journal.combined.items():
        if other_version == version:
            wanted = {document["model"]} if other == digest else set()
            require(set(combined.answers) <= wanted, "version", version, "was answered as",
                    combined.answers, "and is", wanted)


def settle(rulebook, journal, records):
    """{(client, id): (version or None, element, reason)} of all that the ledger counts or drops."""
    settled = {}

    def add(element, version, reason):
        made = element["base"] + element["staleness"] + 1 if version is None else version
        key = check_settled(rulebook.at(made), journal, element, version, attributes)
        require(key not in settled, key, "is settled twice: in", version, "and", settled.get(key))
        settled[key] = version, element, reason

    expected = 0
    attributes = {}  # of each client, as it joined last
    for record in records:
        document = record.document
        if record.type == "client":
            attributes[document["client"]] = document["attributes"]
        if record.type == "version":
            version = document["version"]
            require(version == expected, "version", version, "where", expected, "was due")
            expected += 1
            require((version == 0) == (not document["updates"]), "version", version, "of nothing")
            rules = rulebook.at(version)
            require(("combined" in document) == (rules.is_combined and version > 0),
                    "version", version, "combined:", document.get("combined"))
            if version > 0 and rules.is_combined:
                check_combined(journal, document)
            for element in document["updates"]:
                add(element, version, None)
            if version > 0:
                elements = document["updates"]
                whole = [(e["client"], rules.weight(rules.mass(e, attributes), e["staleness"]))
                         for e in elements]
                require([e["weight"] for e in elements] == rules.capped(whole),
                        "version", version, "weighs", elements, "capped:", rules.capped(whole))
                require(document["weight"] == sum(e["weight"] for e in elements), "weight", version)
                bodies = [journal.updates[e["client"], e["update"]].body for e in elements]
                require(document["bytes"] == sum(map(len, bodies)), "bytes", version)
        for element in document.get("dropped", []):
            require(document["reason"], "dropped without a reason:", element)
            add(element, None, document["reason"])
    return settled


def check_answers(rulebook, journal, settled):
    """Whatever an answer promised has come true; the run has ended, so nothing is pending."""
    for key, sent in journal.updates.items():
        version, element, reason = settled.get(key, (None, None, None))
        acknowledged = sent.acknowledgements()
        require(element or not acknowledged, key, "acknowledged and lost:", acknowledged[:1])
        require(acknowledged or not sent.answers or not element, key, "refused and settled:",
                sent.answers[-1:])
        for answer in acknowledged:
            require(answer["update"] == sent.update, key, "was answered for", answer)
            if answer["fate"] == "counted":
                require(answer["version"] == version, key, "is in", version, "answered", answer)
            elif answer["fate"] == "dropped":
                require(reason and answer.get("reason", reason) == reason, key, answer, reason)
            else:
                require(answer["durability"] == "spool", key, answer)
                require(version in (None, answer["version"]),
                        key, "is in", version, "answered", answer)
                rules = rulebook.at(answer["version"])
                for field in ("base", "staleness", "weight"):
                    is_open = field == "weight" and rules.share_max < 1 and field not in answer
                    require(not element or is_open or element[field] == answer[field],
                            key, element, answer)


def check_evaluations(journal, records):
    found = set()
    for record in records:
        if record.type == "evaluation":
            document = record.document
            key = document["client"], document["evaluation"]
            require(key not in found, key, "is recorded twice")
            found.add(key)
            require(key in journal.evaluations, key, "was never sent")
            for field, value in journal.evaluations[key][0].items():
                require(document[field] == value, key, document, journal.evaluations[key])
    for key, (_, is_acknowledged) in journal.evaluations.items():
        require(key in found or not is_acknowledged, "evaluation", key, "acknowledged and lost")


# --- the model, bit by bit ---------------------------------------------------------------------


def bits_of(value):
    """fp32 of a double, as its bits; the rounding is the hardware's own."""
    return struct.unpack("<I", struct.pack("<f", value))[0]


def value_of(bits):
    return struct.unpack("<f", struct.pack("<I", bits))[0]


def read_tensors(blob):
    """{name: (shape, [fp32 bits])} of a safetensors file with F32, BF16 or F16."""
    (head_bytes,) = struct.unpack_from("<Q", blob)
    head = json.loads(blob[8:8 + head_bytes])
    tensors = {}
    for name, entry in head.items():
        if name == "__metadata__":
            continue
        first, last = (8 + head_bytes + offset for offset in entry["data_offsets"])
        piece = blob[first:last]
        if entry["dtype"] == "F32":
            bits = struct.unpack(f"<{len(piece) // 4}I", piece)
        elif entry["dtype"] == "BF16":
            bits = [half << 16 for half in struct.unpack(f"<{len(piece) // 2}H", piece)]
        else:
            require(entry["dtype"] == "F16", "dtype of", name, entry)
            bits = [bits_of(half) for half in struct.unpack(f"<{len(piece) // 2}e", piece)]
        require(len(bits) == math.prod(entry["shape"]), "shape of", name)
        tensors[name] = entry["shape"], bits
    return tensors


def canonical(tensors):
    """The bytes whose SHA-256 is a version's identity (docs/protocol.md section 3)."""
    entries, data, at = [], [], 0
    for name in sorted(tensors, key=str.encode):
        shape, bits = tensors[name]
        count = 4 * len(bits)
        shape_text = ",".join(map(str, shape))
        entries.append(f'{json.dumps(name, ensure_ascii=False)}:{{"dtype":"F32",'
                       f'"shape":[{shape_text}],"data_offsets":[{at},{at + count}]}}')
        data.append(struct.pack(f"<{len(bits)}I", *bits))
        at += count
    head = ("{" + ",".join(entries) + "}").encode()
    head += b" " * (-(8 + len(head)) % 64)
    return struct.pack("<Q", len(head)) + head + b"".join(data)


def power(base, exponent):
    product = 1.0
    while exponent:
        if exponent & 1:
            product *= base
        base *= base
        exponent >>= 1
    return product


class Optimizer:
    """The server optimizers of src/learn/optimizer.h: doubles inside, fp32 between versions."""

    STATES = {"sgd": 0, "momentum": 1, "nesterov": 1, "adagrad": 2, "adam": 2, "yogi": 2}

    def __init__(self, server):
        self.server, self.kind = server, server["optimizer"]
        self.is_standard = server.get("variant") == "standard"

    def first_state(self):
        v = bits_of(0.0 if self.is_standard or "tau" not in self.server
                    else self.server["tau"] * self.server["tau"])
        return (0, v)[:self.STATES[self.kind]]

    def rate(self, step):
        rate = self.server["lr"]
        if self.is_standard and self.kind in ("adam", "yogi"):
            rate *= math.sqrt(1 - power(self.server["beta2"], step))
        if self.is_standard and self.STATES[self.kind] == 2:
            rate /= 1 - power(self.server["beta1"], step)
        return rate

    def apply(self, rate, mean, x, state):
        """(x, state) after one step, as bits."""
        x, state = value_of(x), [value_of(bits) for bits in state]
        if self.kind == "sgd":
            x += rate * mean
        elif self.kind in ("momentum", "nesterov"):
            b = self.server["momentum"]
            state[0] = b * state[0] + mean
            x += rate * (state[0] if self.kind == "momentum" else mean + b * state[0])
        else:
            m, v = state
            m = self.server["beta1"] * m + (1 - self.server["beta1"]) * mean
            square = mean * mean
            if self.kind == "adagrad":
                v += square
            elif self.kind == "adam":
                v = self.server["beta2"] * v + (1 - self.server["beta2"]) * square
            elif v != square:
                change = (1 - self.server["beta2"]) * square
                v += -change if v > square else change
            x += rate * m / (math.sqrt(v) + self.server["tau"])
            state = [m, v]
        return bits_of(x), tuple(bits_of(value) for value in state)


def matches(pattern, name):
    parts = (".*" if c == "*" else "." if c == "?" else re.escape(c) for c in pattern)
    return re.fullmatch("".join(parts), name, re.DOTALL) is not None


class Model:
    """A version and its optimizer's state, made from version 0 by the updates of each record."""

    def __init__(self, rules, tensors):
        self.rules, self.tensors = rules, tensors
        self.versions = [dict(tensors)]  # all of them, as bases
        self.optimizer = Optimizer(rules.strategy["server"])
        self.steps = {}  # of each group
        self.state = {name: [self.optimizer.first_state()] * len(bits)
                      for name, (_, bits) in tensors.items()}

    def follow(self, rules):
        """Go on by other rules; another optimizer starts anew."""
        old, new = self.rules.strategy["server"], rules.strategy["server"]
        self.rules, self.optimizer = rules, Optimizer(new)
        if any(old.get(field) != new.get(field) for field in ("optimizer", "variant")):
            self.steps = {}
            self.state = {name: [self.optimizer.first_state()] * len(bits)
                          for name, (_, bits) in self.tensors.items()}

    def placed(self, name):
        """Role, group and bound of a tensor: by the first rule that matches."""
        model = self.rules.spec["model"]
        rule = next((r for r in model.get("tensors", []) if matches(r["match"], name)), {})
        usual = "average" if "running_" in name else "train"
        return (rule.get("role") or usual, rule.get("group") or "",
                rule.get("delta_max") or model["delta_max"])

    def advance(self, updates):
        """updates: [(weight, base, {name: (shape, bits)})] -> the next version's canonical bytes."""
        groups = {}  # group -> its updates
        for update in updates:
            for group in {self.placed(name)[1] for name in update[-1]}:
                groups.setdefault(group, []).append(update)
        for group in groups:
            self.steps[group] = self.steps.get(group, 0) + 1
        for name in self.tensors:
            role, group, delta_max = self.placed(name)
            if role in ("train", "average") and group in groups:
                self.advance_tensor(name, role, group, groups[group], self.rules.shift(delta_max))
        self.versions.append(dict(self.tensors))
        return canonical(self.tensors)

    def pulls(self, updates, denominator):
        """{base: share} that a version is pulled towards, the oldest first."""
        if not (self.rules.is_mixing or self.rules.has_models):
            return {}
        unit = 1 / denominator if self.rules.has_models else math.ldexp(1.0, -self.rules.unit_bits)
        weights = {}
        for weight, base, _ in sorted(updates, key=lambda update: update[1]):
            weights[base] = weights.get(base, 0) + weight
        return {base: weight * unit for base, weight in weights.items()}

    def advance_tensor(self, name, role, group, updates, shift):
        scales = [math.ldexp(weight, shift) for weight, _, _ in updates]
        denominator = self.rules.divisor([weight for weight, _, _ in updates])
        rate = self.optimizer.rate(self.steps[group])
        unit = math.ldexp(1.0, -shift)
        require(not self.rules.is_mixing or len(updates) == 1,
                "a version of", len(updates), "updates was mixed")
        pulls = self.pulls(updates, denominator)

        def element(x, state, bases, *deltas):
            total = 0
            for scale, delta in zip(scales, deltas):
                total += round(value_of(delta) * scale)  # half to even, as rint
            require(abs(total) < 2 ** 62, "the sum of", name, "would overflow")
            mean = float(total) * unit / denominator
            for share, base in zip(pulls.values(), bases):
                mean += share * (value_of(base) - value_of(x))
            if role == "average":
                return bits_of(value_of(x) + mean), state
            return self.optimizer.apply(rate, mean, x, state)

        shape, bits = self.tensors[name]
        for _, _, tensors in updates:
            require(tensors[name][0] == shape, "shape of", name, "in an update")
        bases = zip(*(self.versions[base][name][1] for base in pulls)) if pulls else [()] * len(bits)
        columns = zip(bits, self.state[name], bases,
                      *(tensors[name][1] for _, _, tensors in updates))
        known = {}
        results = [known.get(column) or known.setdefault(column, element(*column))
                   for column in columns]
        self.tensors[name] = shape, [x for x, _ in results]
        self.state[name] = [state for _, state in results]


def parts_of(rules, journal, document):
    """[(weight, base, tensors)] that this version's record says it is made of."""
    if rules.is_combined:
        body = journal.combined[document["version"], document["combined"]["digest"]].body
        return [(1, document["version"] - 1, read_tensors(body))]
    return [(e["weight"], e["base"], read_tensors(journal.updates[e["client"], e["update"]].body))
            for e in document["updates"]]


def check_versions(rulebook, journal, records, first, files):
    """Make every version again, bit for bit."""
    model = Model(rulebook.at(0), read_tensors(first))
    require(canonical(model.tensors) == first, "version 0 is not canonical")
    made = {}
    for record in records:
        if record.type != "version":
            continue
        document, version = record.document, record.document["version"]
        made[version] = sha256(first)
        if version > 0:
            rules = rulebook.at(version)
            if model.rules is not rules:
                model.follow(rules)
            made[version] = sha256(model.advance(parts_of(rules, journal, document)))
        require(document["model"] == made[version], "version", version, "has the digest",
                document["model"], "and its updates make", made[version])
    for version, blob in files.items():
        require(version in made, "version", version, "is there and not in the ledger")
        require(sha256(blob) == made[version], "file of version", version)
    for version, digest in journal.versions.items():
        require(made.get(version) == digest, "version", version, "was seen as", digest,
                "and is", made.get(version))


# --- all of it ---------------------------------------------------------------------------------


def check(name, records, journal, first, files):
    """Everything that can be known from outside about a run that has ended. first: bytes of version
    0; files: {number: bytes} of the versions that are kept. Returns what is settled (settle())."""
    check_chain(name, records)
    rulebook = Rulebook(records)
    settled = settle(rulebook, journal, records)
    check_answers(rulebook, journal, settled)
    check_evaluations(journal, records)
    check_versions(rulebook, journal, records, first, files)
    return settled


def files_of(folder):
    """{number: bytes} of runs/NAME/versions."""
    return {int(path.stem): path.read_bytes()
            for path in pathlib.Path(folder, "versions").glob("*.safetensors")}
