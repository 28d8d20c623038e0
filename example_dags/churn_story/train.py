"""FlowEngine job: fit a logistic regression by gradient descent, and hand the model on."""

import csv
import json
import math

ROUNDS = int("${rounds}")

with open("${customers}") as file:
    rows = [row for row in csv.DictReader(file) if row["part"] == "train"]
points = [([1.0, float(row["months"]) / 60, float(row["calls"]) / 10], int(row["left"])) for row in rows]
print(f"{len(points)} customers, {ROUNDS} rounds")

weights = [0.0, 0.0, 0.0]
for done in range(1, ROUNDS + 1):
    slope = [0.0, 0.0, 0.0]
    loss = 0.0
    for features, left in points:
        chance = 1 / (1 + math.exp(-sum(w * x for w, x in zip(weights, features, strict=True))))
        loss -= math.log(chance if left else 1 - chance)
        slope = [s + (chance - left) * x for s, x in zip(slope, features, strict=True)]
    weights = [w - 2.0 * s / len(points) for w, s in zip(weights, slope, strict=True)]
    if done % max(ROUNDS // 5, 1) == 0:
        print(f"round {done}: loss {loss / len(points):.3f}")

with open("${outputFile}", "w") as file:
    json.dump(weights, file)
