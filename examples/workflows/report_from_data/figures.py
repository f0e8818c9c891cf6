"""Figures of a table: figures.py sum|regions|check FILE [SUM]."""

import csv
import sys
from collections import Counter

what, name, *rest = sys.argv[1:]
with open(name, newline="") as file:
    rows = [(row["region"], int(row["amount"])) for row in csv.DictReader(file)]
by_region = Counter()
for region, amount in rows:
    by_region[region] += amount
if what == "sum":
    print(sum(amount for _, amount in rows))
elif what == "regions":
    for region, amount in sorted(by_region.items()):
        print(f"- {region}: {amount}")
elif what == "check":
    sys.exit(sum(by_region.values()) != int(rest[0]))
