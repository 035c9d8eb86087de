#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Data for the command tests, `make_data.py ROWS`: the same bytes everywhere, integers alone."""
import csv
import sys

out = csv.writer(sys.stdout, lineterminator="\n")
out.writerow(["id", "size", "color", "day", "price", "sold"])
for i in range(1, int(sys.argv[1]) + 1):
    size, shade = i * 7919 % 101, i * 31 % 7 % 3
    price = size * 3 + shade * 40 + i * 13 % 17
    out.writerow([i, size if i % 11 else "", ("red", "green", "blue,teal")[shade] if i % 13 else "",
                  f"2024-{i % 12 + 1:02}-{i % 28 + 1:02}", price, "yes" if price > 200 else "no"])
