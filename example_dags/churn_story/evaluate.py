"""FlowEngine job: judge the model on customers that it hasn't seen, and report how good it is."""

import csv
import json
import math

weights = json.loads("${model}")

with open("${customers}") as file:
    rows = [row for row in csv.DictReader(file) if row["part"] == "test"]


def chance(row):
    features = [1.0, float(row["months"]) / 60, float(row["calls"]) / 10]
    return 1 / (1 + math.exp(-sum(w * x for w, x in zip(weights, features, strict=True))))


right = sum((chance(row) > 0.5) == (row["left"] == "1") for row in rows)
report = {"accuracy": round(right / len(rows), 3), "customers": len(rows), "weights": weights}
print(report)
with open("${report}", "w") as file:
    json.dump(report, file)
