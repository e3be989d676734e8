"""Random columns of every type, nested too, through the engine and back, compared with what pyarrow made.

usage: roundtrip.py BRIDGE.so SEEDS
"""
import ctypes
import datetime
import decimal
import random
import sys

import pyarrow as pa

PLAIN = {
    "BOOLEAN": (pa.bool_(), lambda r: r.random() < 0.5),
    "TINYINT": (pa.int8(), lambda r: r.randint(-128, 127)),
    "SMALLINT": (pa.int16(), lambda r: r.randint(-32768, 32767)),
    "INT": (pa.int32(), lambda r: r.randint(-(2**31), 2**31 - 1)),
    "BIGINT": (pa.int64(), lambda r: r.randint(-(2**63), 2**63 - 1)),
    "FLOAT": (pa.float32(), lambda r: r.randint(-1000, 1000) / 8),
    "DOUBLE": (pa.float64(), lambda r: r.random()),
    "DECIMAL(12, 2)": (pa.decimal128(12, 2), lambda r: decimal.Decimal(r.randint(-(10**11), 10**11)).scaleb(-2)),
    "DECIMAL(38, 5)": (pa.decimal128(38, 5), lambda r: decimal.Decimal(r.randint(-(10**30), 10**30)).scaleb(-5)),
    "DATE": (pa.date32(), lambda r: datetime.date(1970, 1, 1) + datetime.timedelta(days=r.randint(-9999, 9999))),
    "TIME": (pa.time32("ms"), lambda r: datetime.time(r.randint(0, 23), r.randint(0, 59), r.randint(0, 59), 1000 * r.randint(0, 999))),
    "TIMESTAMP": (pa.timestamp("ms"), lambda r: datetime.datetime(1970, 1, 1) + datetime.timedelta(milliseconds=r.randint(-(10**12), 10**12))),
}
TEXT = [(pa.string(), "STRING"), (pa.large_string(), "STRING"), (pa.string_view(), "STRING"),
        (pa.binary(), "BYTES"), (pa.large_binary(), "BYTES"), (pa.binary_view(), "BYTES")]


class Column:
    """A type in both languages, what it comes back as, and values of it."""

    def __init__(self, r, depth, nullable):
        self.nullable = nullable
        kind = r.choice(["plain", "plain", "text"] + (["list", "map", "row"] if depth < 3 else []))
        if kind == "plain":
            text, (self.type, self.make) = r.choice(list(PLAIN.items()))
            self.back = self.type
        elif kind == "text":
            self.type, text = r.choice(TEXT)
            self.back = pa.string_view() if text == "STRING" else pa.binary_view()
            self.make = self.make_string if text == "STRING" else self.make_bytes
        elif kind == "list":
            inner = Column(r, depth + 1, r.random() < 0.5)
            one = r.choice([pa.list_, pa.large_list])
            self.type = one(pa.field("item", inner.type, inner.nullable))
            self.back = pa.list_(pa.field("item", inner.back, inner.nullable))
            text = f"ARRAY<{inner.text}>"
            self.make = lambda r: [inner.value(r) for _ in range(r.choice([0, 1, 2, 5]))]
        elif kind == "map":
            key, inner = Column(r, 3, False), Column(r, depth + 1, r.random() < 0.5)
            self.type = pa.map_(key.type, pa.field("value", inner.type, inner.nullable))
            self.back = pa.map_(key.back, pa.field("value", inner.back, inner.nullable))
            text = f"MAP<{key.text}, {inner.text}>"
            self.make = lambda r: [(key.value(r), inner.value(r)) for _ in range(r.choice([0, 1, 3]))]
        else:
            inner = [Column(r, depth + 1, r.random() < 0.5) for _ in range(r.randint(1, 3))]
            self.type = pa.struct([pa.field(f"c{i}", c.type, c.nullable) for i, c in enumerate(inner)])
            self.back = pa.struct([pa.field(f"c{i}", c.back, c.nullable) for i, c in enumerate(inner)])
            text = "ROW<" + ", ".join(f"c{i} {c.text}" for i, c in enumerate(inner)) + ">"
            self.make = lambda r: {f"c{i}": c.value(r) for i, c in enumerate(inner)}
        self.text = text + ("" if nullable else " NOT NULL")

    @staticmethod
    def make_string(r):
        return "".join(r.choice("abcdefgäß\n") for _ in range(r.choice([0, 3, 12, 13, 50])))

    @staticmethod
    def make_bytes(r):
        return bytes(r.randint(0, 255) for _ in range(r.choice([0, 3, 12, 13, 50])))

    def value(self, r):
        return None if self.nullable and r.random() < 0.25 else self.make(r)


MOVES = [lambda rows: rows, lambda rows: rows[::2], lambda rows: rows[::-1], lambda rows: rows[1:], lambda rows: rows]


def load(path):
    library = ctypes.CDLL(path)
    library.bridge_pool.restype = ctypes.c_void_p
    library.bridge_pool_free.argtypes = [ctypes.c_void_p]
    library.bridge.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64,
                               ctypes.c_uint32, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_char_p]
    return library


def through(library, pool, text, batch, start, count, how):
    # struct ArrowSchema has 9 words, struct ArrowArray 10; pyarrow fills and empties them where they are
    in_schema, in_array = (ctypes.c_uint64 * 9)(), (ctypes.c_uint64 * 10)()
    schema, array = (ctypes.c_uint64 * 9)(), (ctypes.c_uint64 * 10)()
    error = ctypes.create_string_buffer(512)
    batch._export_to_c(ctypes.addressof(in_array), ctypes.addressof(in_schema))
    rc = library.bridge(pool, text.encode(), in_schema, in_array, start, count, how, schema, array, error)
    # taken back, so that they are released
    pa.RecordBatch._import_from_c(ctypes.addressof(in_array), ctypes.addressof(in_schema))
    if rc != 0:
        raise SystemExit(f"FAIL refused: {error.value.decode()}")
    return pa.RecordBatch._import_from_c(ctypes.addressof(array), ctypes.addressof(schema))


def one_seed(library, seed):
    r = random.Random(seed)
    columns = [Column(r, 0, r.random() < 0.5) for _ in range(r.randint(1, 5))]
    rows = [{f"c{i}": c.value(r) for i, c in enumerate(columns)} for _ in range(r.randint(5, 60))]
    schema = pa.schema([pa.field(f"c{i}", c.type, c.nullable) for i, c in enumerate(columns)])
    arrays = [pa.array([row[f"c{i}"] for row in rows], c.type) for i, c in enumerate(columns)]
    batch = pa.RecordBatch.from_arrays(arrays, schema=schema)
    cut = r.randint(0, 2)  # pyarrow's own offset; then rows of what is left
    batch, start = batch.slice(cut), r.randint(0, 2)
    count, how = len(rows) - cut - start, r.randrange(len(MOVES))
    text = ", ".join(f"c{i} {c.text}" for i, c in enumerate(columns))
    pool = library.bridge_pool()
    got = through(library, pool, text, batch, start, count, how)
    got.validate(full=True)
    expected = MOVES[how](batch.to_pylist()[start:])
    if got.to_pylist() != expected:
        raise SystemExit(f"FAIL seed {seed}: rows differ, moved in way {how}, of {text}")
    for i, c in enumerate(columns):
        field = got.schema.field(i)
        if field.type != c.back or field.nullable != c.nullable or field.name != f"c{i}":
            raise SystemExit(f"FAIL seed {seed}: column {field} should be {c.back}")
    del got
    if library.bridge_pool_free(pool) != 0:
        raise SystemExit(f"FAIL seed {seed}: memory was not given back")


def main():
    library = load(sys.argv[1])
    for seed in range(int(sys.argv[2])):
        one_seed(library, seed)
    print(f"ok {sys.argv[2]} random batches through the engine, with pyarrow {pa.__version__}")


main()
