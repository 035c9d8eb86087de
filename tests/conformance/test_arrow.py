# SPDX-License-Identifier: Apache-2.0
"""Tables cross the Arrow C Data Interface to pyarrow and back; CSV agrees with its own reader."""
import ctypes
import os
import pathlib

import pytest

pa = pytest.importorskip("pyarrow")
csv = pytest.importorskip("pyarrow.csv")

ROOT = pathlib.Path(__file__).resolve().parents[2]
LIBRARY = ROOT / os.environ.get("BUILD", "build") / "src" / "libtapeout.so"
SCHEMA_BYTES, ARRAY_BYTES = 72, 80


class Error(ctypes.Structure):
    _fields_ = [("status", ctypes.c_int), ("offset", ctypes.c_uint64),
                ("message", ctypes.c_char * 496)]


class Tapeout:
    def __init__(self):
        self.library = ctypes.CDLL(str(LIBRARY))
        self.library.tapeout_table_free.argtypes = [ctypes.c_void_p]
        self.library.tapeout_context_free.argtypes = [ctypes.c_void_p]
        self.error = Error()
        self.context = ctypes.c_void_p()
        self.check(self.library.tapeout_context_new(None, ctypes.byref(self.context), self.err()))

    def err(self):
        return ctypes.byref(self.error)

    def check(self, status):
        if status != 0:
            raise ValueError(self.error.message.decode())

    def read(self, path):
        table = ctypes.c_void_p()
        self.check(self.library.tapeout_table_read(
            self.context, str(path).encode(), None, ctypes.byref(table), self.err()))
        return table

    def take_out(self, table):
        """The record batch of a table, which is freed here: the batch must live on without it."""
        schema = ctypes.create_string_buffer(SCHEMA_BYTES)
        array = ctypes.create_string_buffer(ARRAY_BYTES)
        self.check(self.library.tapeout_table_export_arrow(table, schema, array, self.err()))
        self.library.tapeout_table_free(table)
        batch = pa.RecordBatch._import_from_c(ctypes.addressof(array), ctypes.addressof(schema))
        batch.validate(full=True)
        return batch

    def put_in(self, batch):
        schema = ctypes.create_string_buffer(SCHEMA_BYTES)
        array = ctypes.create_string_buffer(ARRAY_BYTES)
        batch._export_to_c(ctypes.addressof(array), ctypes.addressof(schema))
        table = ctypes.c_void_p()
        self.check(self.library.tapeout_table_import_arrow(
            self.context, schema, array, ctypes.byref(table), self.err()))
        return table


@pytest.fixture(scope="module")
def tapeout():
    if not LIBRARY.exists():
        pytest.skip(f"{LIBRARY} is not built")
    library = Tapeout()
    yield library
    library.library.tapeout_context_free(library.context)


def plain(column):
    return column.cast(pa.string()) if pa.types.is_dictionary(column.type) else column


def test_agrees_with_pyarrows_reader(tapeout, tmp_path):
    path = tmp_path / "t.csv"
    rows = [f'{i},{i / 7},{"NA" if i % 5 == 0 else i % 13},"x{i % 9}, ""y""",2013-01-0{i % 9 + 1},'
            f"2013-01-01T{i % 24:02}:00:00Z\n" for i in range(20000)]
    path.write_text("i,f,m,s,d,t\n" + "".join(rows))
    ours = tapeout.take_out(tapeout.read(path))
    theirs = csv.read_csv(path, convert_options=csv.ConvertOptions(
        null_values=["", "NA"], strings_can_be_null=True))
    assert ours.num_rows == theirs.num_rows
    for name in ours.schema.names:
        want = theirs.column(name).combine_chunks()
        got = plain(ours.column(name))
        assert got.equals(want.cast(got.type)), name


def test_comes_back_from_slices(tapeout):
    batch = pa.record_batch({
        "i8": pa.array([1, None, -3], pa.int8()),
        "u32": pa.array([1, 2, 2**32 - 1], pa.uint32()),
        "f": pa.array([1.5, None, 2.25], pa.float32()),
        "s": pa.array(["a", None, ""], pa.string()),
        "ls": pa.array(["a", "b", "a"], pa.large_string()),
        "d": pa.array(["x", None, "y"]).dictionary_encode(),
        "b": pa.array([True, None, False]),
        "ms": pa.array([0, 1, None], pa.timestamp("ms", "UTC")),
        "d32": pa.array([1, None, 3], pa.date32()),
    })
    rows = batch.to_struct_array().slice(1, 2)  # its offset is its own, not its columns'
    for part in (batch, batch.slice(1), batch.slice(2, 1), batch.slice(0, 0), rows):
        back = tapeout.take_out(tapeout.put_in(part))
        assert back.to_pylist() == part.to_pylist()


def test_refuses_nested_types_by_name(tapeout):
    with pytest.raises(ValueError, match=r'column x has the type "\+l"'):
        tapeout.put_in(pa.record_batch({"x": pa.array([[1]])}))
